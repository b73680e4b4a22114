"""What is configured can be read, by people and by programs, and settings change within bounds."""

from functools import partial
from typing import Any

from attrs import evolve

from clumpt.apps import conf_options
from clumpt.apps.conf_settings import change_group, change_settings, parse_settings
from clumpt.apps.conf_show import ago, list_nodes, neighbours, show
from clumpt.errors import BadInput, NothingMatched
from clumpt.model import GroupName, PeerName, PeerStatus, Settings
from clumpt.trust.pki import ADMIN
from tests.conf_case import IDENT, NOW, ConfCase

ALL = GroupName("all")


class ShowTests(ConfCase):
    """Lists and details."""

    def setUp(self) -> None:
        super().setUp()
        self.make()
        self.add("n[1-3]", "-g", "all", "--arch", "amd64", "--rack", "r7")
        self.add("n4", "-g", "all,gpu")
        view = self.directory.as_peer(PeerName("n1"))
        self.did(view.report(PeerStatus(PeerName("n1"), 7, 6, state="isolated", seen=int(NOW) - 90)))

    def test_list(self) -> None:
        """Nodes with their groups, addresses and states; the tools are none."""
        self.did(list_nodes(self.environment(), None, False))
        lines = [line.split() for line in self.stdout.getvalue().splitlines()]
        self.assertEqual(lines[0], ["NODE", "GROUPS", "ADDRESS", "STATE", "SEEN"])
        self.assertEqual(lines[1], ["n1", "all", "n1:4417:4418", "isolated", "1", "min", "ago"])
        self.assertEqual(lines[4], ["n4", "all,gpu", "n4:4417:4418", "never", "reported", "-"])
        self.assertEqual(len(lines), 5)

    def test_list_group(self) -> None:
        """Those of one group, folded."""
        self.did(list_nodes(self.environment(), ALL, True))
        self.assertEqual(self.stdout.getvalue(), "n[1-4]\n")
        told = self.fails(NothingMatched, lambda: list_nodes(self.env, GroupName("gpus"), False))
        self.assertIn("did you mean gpu?", told)

    def test_list_json(self) -> None:
        """For programs, with a version."""
        self.did(list_nodes(self.environment(json=True), None, False))
        data = self.shown()
        self.assertEqual((data["v"], len(data["peers"])), (1, 4))
        first = data["peers"][0]
        self.assertEqual((first["name"], first["arch"], first["rack"]), ("n1", "amd64", "r7"))
        self.assertEqual((first["status"]["head"], first["status"]["settled"]), (7, 6))
        self.assertIsNone(data["peers"][3]["status"])

    def test_show(self) -> None:
        """A node with its signed statement and its own report."""
        self.did(show(self.environment(), "n[1,4]"))
        text = self.stdout.getvalue()
        member = self.site().keyring.member(self.peer("n1").member)
        self.assertIn(f"fingerprint:  {member.fingerprint}", text)
        self.assertIn("state:        isolated", text)
        self.assertIn("\n\nname:         n4", text)

    def test_show_bad(self) -> None:
        """A statement that is not good shows why."""
        self.did(self.directory.put_peer(evolve(self.peer("n1"), member=b"{}")))
        self.did(show(self.environment(json=True), "n1"))
        statement = self.shown()["peers"][0]["statement"]
        self.assertFalse(statement["good"])
        self.assertTrue(statement["why"])
        self.fails(NothingMatched, lambda: show(self.env, "n9"))

    def test_neighbours(self) -> None:
        """Whom a node knows and who knows it."""
        self.did(neighbours(self.environment(), None))
        self.assertEqual(len(self.stdout.getvalue().splitlines()), 5)
        self.did(neighbours(self.environment(json=True), "n1"))
        (record,) = self.shown()["peers"]
        self.assertEqual(record["knows"], list(self.peer("n1").neighbours))
        knowers = [name for name in ("n2", "n3", "n4") if "n1" in self.peer(name).neighbours]
        self.assertEqual(record["known_by"], knowers)

    def test_tool(self) -> None:
        """The tools can be shown as well."""
        self.did(show(self.environment(), ADMIN))
        self.assertIn("name:         clumpt-admin", self.stdout.getvalue())

    def test_ago(self) -> None:
        """Times are told in the largest whole unit."""
        told = [ago(1000, now) for now in (900.0, 1059.9, 1060, 1000 + 7200, 1000 + 200_000)]
        self.assertEqual(told, ["0 s ago", "59 s ago", "1 min ago", "2 h ago", "2 d ago"])


class SettingsTests(ConfCase):
    """The settings of the deployment (R49, R62, R72, R74)."""

    def test_change(self) -> None:
        """They are changed in the directory, and all are shown."""
        self.make()
        self.did(change_settings(self.environment(), ["interval=60", "N=4", "initial=30%"]))
        self.assertEqual(self.did(self.directory.settings()), Settings(IDENT, 4, 2, 30, 60.0))
        self.assertIn("interval=60.0\n", self.stdout.getvalue())
        self.assertIn("clumptconf rewire", self.said())

    def test_show(self) -> None:
        """Without words they are shown only; a dry run shows what they would be."""
        self.make()
        self.did(change_settings(self.environment(json=True), []))
        expected = {"deployment": IDENT, "N": 5, "M": 2, "initial": 20, "interval": 300.0}
        self.assertEqual(self.shown(), {"v": 1, "settings": expected})
        self.did(change_settings(self.environment(json=True, dry=True), ["M=3"]))
        self.assertEqual(self.shown()["settings"]["M"], 3)
        self.assertEqual(self.did(self.directory.settings()), Settings(IDENT))

    def test_bounds(self) -> None:
        """What cannot be is refused."""
        for word in ("M=1", "N=0", "initial=101", "initial=0", "interval=0", "interval=nan", "interval=1e9"):
            self.fails(BadInput, lambda word=word: parse_settings(Settings(IDENT), [word]))
        for word in ("N", "N=", "N=x", "K=3", "deployment=other"):
            self.fails(BadInput, lambda word=word: parse_settings(Settings(IDENT), [word]))

    def words(self, *words: str) -> conf_options.Group:
        options = conf_options.Group()
        options.parseOptions(list(words))
        return options

    def group(self, *words: str) -> dict[str, Any]:
        """What C{clumptconf group} shows."""
        options = self.words(*words)
        env = self.environment(json=True, dry=bool(options["dry-run"]))
        self.did(change_group(env, options["name"], options))
        shown: dict[str, Any] = self.shown()["group"]
        return shown

    def test_group(self) -> None:
        """A group is made with a policy (R11), and a later word changes only what it names."""
        self.make()
        self.group("gpu", "-d", "graphics", "-i", "dpkg,apt", "-p", "cuda-*,gcc", "-r", "cuda-7*")
        group = {
            "name": "gpu",
            "description": "graphics",
            "installers": ["apt", "dpkg"],
            "packages": ["cuda-*", "gcc"],
            "refuses": ["cuda-7*"],
            "members": [],
        }
        self.assertEqual(self.group("gpu"), group)
        changed = {**group, "installers": ["dpkg"], "packages": []}
        self.assertEqual(self.group("gpu", "-i", "dpkg", "-p", ""), changed)
        self.group("other", "-s")
        self.assertEqual([one.name for one in self.site().groups], ["gpu"])

    def test_group_read(self) -> None:
        """For people, what is not restricted is a dash."""
        self.make()
        options = self.words("gpu", "-r", "cuda-7*")
        self.did(change_group(self.environment(), options["name"], options))
        lines = self.stdout.getvalue().splitlines()
        self.assertIn("packages:     -", lines)
        self.assertIn("refuses:      cuda-7*", lines)

    def test_group_mistakes(self) -> None:
        """What cannot name a group or a package is refused, and nothing is changed."""
        self.make()
        for words in (("a b",), ("gpu", "-r", "cuda *"), ("gpu", "-p", "-x"), ("gpu", "-i", "dpkg apt")):
            options = self.words(*words)
            self.fails(BadInput, partial(change_group, self.env, options["name"], options))
        self.assertEqual(self.site().groups, ())

    def test_group_told(self) -> None:
        """The members of a group are told what may be installed now, but not what it is called."""
        self.make()
        self.add("n[1-2]", "-g", "all")
        self.add("n3", "-g", "others")
        self.network.reloaded.clear()
        self.group("all", "-d", "everybody")
        self.group("all", "-s", "-r", "telnetd")
        self.assertEqual(self.network.reloaded, [])
        self.group("all", "-r", "telnetd")
        self.assertEqual(self.network.reloaded, ["n1", "n2"])
        self.group("all", "-r", "telnetd")
        self.assertEqual(self.network.reloaded, ["n1", "n2"])
