"""What the verbs of clumpt do and say, with peers in memory (R57, R58, R64, H6)."""

import json
import sys
import zipfile
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from clumpt import pieces
from clumpt.apps.oneshot import Status
from clumpt.apps.screen import Screen
from clumpt.apps.submit import Options
from clumpt.apps.verbs import words as words_of_verbs
from clumpt.errors import BadInput, ClumptError, DirectoryUnavailable, NothingMatched
from clumpt.model import Action, Failure, GroupName, PeerName, State
from clumpt.pieces import digest_of, piece_size
from clumpt.provenance import Provenance
from clumpt.testing.keys import signer
from clumpt.testing.memory_directory import MemoryDirectory
from tests.submitting import NOW, Cluster, package_file
from tests.test_job import package as a_package

INI = "[directory]\nuris = ldaps://ldap.example.org\n"


class VerbCase(SynchronousTestCase):
    """A cluster of three nodes, and a file to install."""

    def setUp(self) -> None:
        self.cluster = Cluster()
        for number in (1, 2, 3):
            self.cluster.add(f"n{number}", installs=True)
        self.file = package_file(self.mktemp())
        self.ini = Path(self.mktemp())
        self.ini.write_text(INI)

    def options(self, *words: object) -> Any:
        options = Options()
        options.parseOptions(["--config", str(self.ini), *map(str, words)])
        return options.subOptions

    def begin(self, *words: object, **changes: Any) -> Deferred[int]:
        return self.options(*words).act(self.cluster.desk(len(self.cluster.networks), **changes))

    def clumpt(self, *words: object, **changes: Any) -> int:
        """Run C{clumpt words}; what it says is in C{said} and C{told}."""
        status = self.cluster.wait(self.begin(*words, **changes), within=5000)
        self.said, self.told = self.cluster.said(), self.cluster.told()
        return int(status)

    def json(self, *words: object) -> tuple[int, dict[str, Any]]:
        status = self.clumpt(*words, "--json")
        [line] = self.told.splitlines()
        return status, json.loads(line)

    def refused(self, kind: type[ClumptError], text: str, *words: object, **changes: Any) -> None:
        before = len(self.cluster.updates())
        wrong = self.assertRaises(kind, self.clumpt, *words, **changes)
        self.assertIn(text, str(wrong))
        self.assertEqual(len(self.cluster.updates()), before)

    def fail_on(self, name: str, seq: int, state: State = State.FAILED, reason: str = "no space") -> None:
        failure = Failure(seq, state, 2, NOW, reason)
        self.cluster.report(name, head=seq, settled=seq, failures=(failure,))


class InstallTests(VerbCase):
    """C{clumpt install}."""

    def test_seeded(self) -> None:
        """It shows the targets, registers, and ends when the first peers have received."""
        self.assertEqual(self.clumpt("install", self.file, "-g", "all", "-y"), Status.DONE)
        self.assertIn("tool-1.0.tar: tool 1.0 (all), 390.6 KiB", self.said)
        self.assertIn("all: n[1-3] (3)", self.said)
        self.assertIn("registered as update 1", self.said)
        self.assertEqual(self.told, "update 1 (tool 1.0): 2 of 3 peers hold it, and it spreads from them\n")
        update = self.cluster.updates()[1].update
        self.assertEqual((update.installer, update.action), ("tar", Action.INSTALL))
        self.assertEqual(update.packages[0].sha256, digest_of(self.file.read_bytes()))

    def test_no_verb(self) -> None:
        """Without a verb it installs, whatever comes first."""
        for words in ((self.file, "-g", "all"), ("-g", "all", self.file)):
            self.assertEqual(self.clumpt(*words, "-y"), Status.DONE)
        self.assertEqual(len(self.cluster.updates()), 2)

    def test_all(self) -> None:
        """C{--wait all} follows to the end."""
        work = self.begin(self.file, "-g", "all", "-y", "--wait", "all")
        self.cluster.clock.pump([0.1] * 100)
        self.assertNoResult(work)
        for name in ("n1", "n2", "n3"):
            self.cluster.report(name, head=1, settled=1)
        self.assertEqual(self.cluster.wait(work), Status.DONE)
        self.assertIn("update 1: 3 done, of 3", self.cluster.told())
        self.assertIn("update 1: 2 done, 1 pending, of 3", self.cluster.said())

    def test_all_failed(self) -> None:
        """A failure shows in the status, with its reason and the nodes."""
        work = self.begin(self.file, "-g", "all", "-y", "--wait", "all")
        self.cluster.clock.pump([0.1] * 100)
        for name in ("n1", "n2", "n3"):
            self.fail_on(name, 1)
        self.assertEqual(self.cluster.wait(work), Status.FAILED)
        self.assertRegex(self.cluster.told(), r"failed +3 +n\[1-3\] +exit status 2: no space")

    def test_all_late(self) -> None:
        """Who has not reported at the deadline is pending, not failed."""
        self.cluster.peers[PeerName("n3")].up = False
        self.cluster.report("n3", seen=NOW - 99999)
        status, told = self.json(self.file, "-g", "all", "-y", "--wait", "all", "-t", "2m")
        self.assertEqual(status, Status.SPREADING)
        self.assertEqual(told["counts"], {"done": 2, "failed": 0, "held": 0, "skipped": 0, "pending": 1})
        self.assertEqual(told["peers"]["n3"]["reason"], "not seen for 1 d")
        self.assertLess(self.cluster.clock.seconds(), 130)

    def test_nobody_reached(self) -> None:
        """If nobody could be told, it says what to do, and that it is not over."""
        for peer in self.cluster.peers.values():
            peer.up = False
        self.assertEqual(self.clumpt(self.file, "-g", "all", "-y"), Status.SPREADING)
        self.assertIn("no peer has received it", self.told)
        self.assertIn("not reached: n[1-3]", self.said)
        self.assertIn("clumpt seed 1 FILE", self.said)

    def test_seed(self) -> None:
        """An update whose submitter was cut off is brought to peers by C{seed}, with the same files."""
        self.test_nobody_reached()
        for peer in self.cluster.peers.values():
            peer.up = True
        other = package_file(self.mktemp(), "other-1.tar", b"y")
        self.refused(BadInput, "no file of update 1", "seed", 1, other)
        self.assertEqual(self.clumpt("seed", 1, self.file), Status.DONE)
        self.assertEqual(list(self.cluster.updates()), [1])
        self.assertEqual(sum(bool(peer.holds) for peer in self.cluster.peers.values()), 2)

    def test_many(self) -> None:
        """For very many peers it is cut smaller, once it is known for how many; and seeded as it was cut."""
        self.file = package_file(self.mktemp(), data=b"x" * 3_000_000)
        self.patch(pieces, "MANY", 3)
        self.test_nobody_reached()
        (package,) = self.cluster.updates()[1].update.packages
        self.assertEqual((piece_size(package.size), package.pieces.size), (32 * 1024, 16 * 1024))
        self.patch(pieces, "MANY", 4)
        for peer in self.cluster.peers.values():
            peer.up = True
        self.assertEqual(self.clumpt("seed", 1, self.file), Status.DONE)
        self.assertEqual(sum(bool(peer.holds) for peer in self.cluster.peers.values()), 2)
        self.assertEqual(self.clumpt(self.file, "-g", "all", "-y"), Status.DONE)
        (package,) = self.cluster.updates()[2].update.packages
        self.assertEqual(package.pieces.size, 32 * 1024)

    def test_dry_run(self) -> None:
        """A dry run shows everything, and does nothing."""
        status, told = self.json(self.file, "-g", "all", "-s")
        self.assertEqual((status, told["kind"], told["concerns"]), (0, "plan", ["n1", "n2", "n3"]))
        self.assertEqual((self.cluster.updates(), self.cluster.networks), ({}, []))
        self.assertIn("nothing was done", self.said)

    def test_asking(self) -> None:
        """Without -y it asks; who says no, or nobody, gets nothing done."""
        asked = []

        def ask() -> Deferred[bool]:
            asked.append(self.cluster.stderr.getvalue())
            return succeed(len(asked) > 1)

        screen = Screen(self.cluster.stdout, self.cluster.stderr, ask)
        self.assertEqual(self.clumpt(self.file, "-g", "all", screen=screen), Status.REFUSED)
        self.assertIn("n[1-3]", asked[0])
        self.assertEqual(self.cluster.updates(), {})
        self.assertEqual(self.clumpt(self.file, "-g", "all", screen=screen), Status.DONE)
        self.refused(BadInput, "say so with --yes", self.file, "-g", "all")

    def test_choice(self) -> None:
        """-w and -x choose among the nodes of the groups, folded or not."""
        self.clumpt(self.file, "-g", "all", "-y", "-w", "n[1-2]", "-x", "n2")
        update = self.cluster.updates()[1].update
        self.assertEqual((update.nodes, update.exclude), ({"n1", "n2"}, {"n2"}))
        self.assertEqual(self.cluster.dialled, ["n1"])
        self.refused(NothingMatched, "no peer n9", self.file, "-g", "all", "-y", "-w", "n9")
        self.refused(NothingMatched, "no group gpuu (did you mean gpu?)", self.file, "-g", "all,gpuu", "-y")
        self.refused(BadInput, "", self.file, "-g", "all", "-y", "-w", "n[1-")

    def test_words(self) -> None:
        """Every option arrives in what is signed."""
        self.cluster.register()
        self.clumpt(
            self.file, "-g", "all", "-g", "gpu", "-y", "-m", "because", "--requires", "1",
            "--run-timeout", "5m", "--not-after", "1h", "--interrupted", "hold",
            "--with", "tar", "--", "--keep-old-files",
        )  # fmt: skip
        update = self.cluster.updates()[2].update
        self.assertEqual((update.groups, update.why, update.requires), ({"all", "gpu"}, "because", (1,)))
        self.assertEqual((update.timeout, update.interrupted.value), (300, "hold"))
        self.assertEqual((update.not_after, update.argv), (NOW + 3600, ("--keep-old-files",)))

    def test_bundle(self) -> None:
        """Several files are one update; they need one installer, and each is named once."""
        other = package_file(self.mktemp(), "other-2.tar", b"y")
        self.clumpt(self.file, other, "-g", "all", "-y")
        self.assertEqual(self.cluster.updates()[1].update.label, "tool 1.0, other 2")
        copy = package_file(self.mktemp(), "copy-3.tar")
        self.refused(BadInput, "is the same as tool-1.0.tar", self.file, copy, "-g", "all", "-y")

    def test_command(self) -> None:
        """A free command, with files or without, begins with a path."""
        words = ("-g", "all", "-y", "--with", "command", "--", "/bin/sh", "-c", "true")
        self.assertEqual(self.clumpt("install", *words), Status.DONE)
        self.assertEqual(self.clumpt(self.file, *words), Status.DONE)
        updates = self.cluster.updates()
        self.assertEqual([one.update.action.value for one in updates.values()], ["run", "install"])
        self.assertEqual(updates[1].update.argv, ("/bin/sh", "-c", "true"))
        self.refused(BadInput, "the full path", "-g", "all", "-y", "--with", "command", "--", "sh")

    def test_files(self) -> None:
        """What is no package is refused with its name."""
        folder = Path(self.mktemp())
        folder.mkdir()
        text = package_file(self.mktemp(), "notes.txt", b"hello")
        broken = package_file(self.mktemp(), "hello.deb", b"hello")
        empty = package_file(self.mktemp(), "empty-1.tar", b"")
        for path, why in (
            (folder / "none.deb", "No such file"),
            (folder, "not a package"),
            (text, "not a package"),
            (broken, "damaged"),
            (empty, "empty"),
        ):
            self.refused(BadInput, why, path, "-g", "all", "-y")

    def test_installers(self) -> None:
        """An installer that cannot read the file, or does not take the words, is refused."""
        self.refused(BadInput, "say --with tar", self.file, "-g", "all", "-y", "--with", "dpkg")
        self.refused(BadInput, "does not take '--evil'", self.file, "-g", "all", "-y", "--", "--evil")

    def test_json(self) -> None:
        """The data of a submission, for programs."""
        status, told = self.json(self.file, "-g", "all", "-y", "--initial", "100%")
        self.assertEqual((status, told["v"], told["kind"], told["seq"]), (0, 1, "submitted", 1))
        self.assertEqual(told["received"], ["n1", "n2", "n3"])
        self.assertEqual((told["initial"], told["unreachable"], told["slow"]), (3, [], []))

    def test_interrupted_following(self) -> None:
        """Ctrl-C while following: it goes on spreading, and how to look again."""
        work = self.begin(self.file, "-g", "all", "-y", "--wait", "all")
        self.cluster.clock.pump([0.1] * 50)
        work.cancel()
        self.assertRaises(CancelledError, self.cluster.wait, work)
        said = self.cluster.said()
        self.assertIn("update 1 goes on spreading without this", said)
        self.assertIn("clumpt status 1", said)
        self.assertFalse(self.cluster.networks[-1].running)

    def test_interrupted_early(self) -> None:
        """Ctrl-C before anybody has the files says how to bring them."""
        for peer in self.cluster.peers.values():
            peer.mute = True
        work = self.begin(self.file, "-g", "all", "-y")
        self.cluster.clock.pump([0.1] * 20)
        work.cancel()
        self.assertRaises(CancelledError, self.cluster.wait, work)
        self.assertIn("clumpt seed 1 FILE", self.cluster.said())

    def test_interrupted_registering(self) -> None:
        """Ctrl-C while the directory thinks: it may be registered."""
        self.patch(MemoryDirectory, "register", lambda directory, entry: Deferred())
        work = self.begin(self.file, "-g", "all", "-y")
        self.cluster.clock.pump([0.1] * 20)
        work.cancel()
        self.assertRaises(CancelledError, self.cluster.wait, work)
        said = self.cluster.said()
        self.assertIn("not known whether update 1 was registered", said)
        self.assertNotIn("nothing was registered", said)

    def main(self, *words: object) -> Deferred[int]:
        """As the process does it, with a desk of ours."""
        self.desk = self.cluster.desk()
        self.patch(words_of_verbs, "real_desk", lambda *things: self.desk)
        self.patch(sys, "__stderr__", self.cluster.stderr)
        work: Deferred[int] = self.options(*words).main(self.cluster.clock, self.cluster.stdout)
        return work

    def test_main(self) -> None:
        """The directory is let go in the end, whatever the end is."""
        self.assertEqual(self.cluster.wait(self.main(self.file, "-g", "all", "-y")), Status.DONE)
        self.assertRaises(DirectoryUnavailable, self.cluster.wait, self.desk.directory.head())
        self.assertRaises(NothingMatched, self.cluster.wait, self.main(self.file, "-g", "none", "-y"))
        self.assertRaises(DirectoryUnavailable, self.cluster.wait, self.desk.directory.head())

    def test_interrupted_before(self) -> None:
        """Ctrl-C before anything was sent says that nothing was registered."""
        self.cluster.directory.server.delay = 10.0
        work = self.main(self.file, "-g", "all", "-y")
        self.cluster.clock.advance(5.0)
        work.cancel()
        self.assertRaises(CancelledError, self.cluster.wait, work)
        self.assertEqual(self.cluster.said(), "clumpt: interrupted; nothing was registered\n")
        self.assertEqual(self.cluster.updates(), {})

    def test_interrupted_at_the_question(self) -> None:
        """Ctrl-C instead of an answer likewise."""
        screen = Screen(self.cluster.stdout, self.cluster.stderr, Deferred)
        work = self.main(self.file, "-g", "all")
        self.assertRaises(BadInput, self.cluster.wait, work)
        self.desk = self.cluster.desk(screen=screen)
        self.patch(words_of_verbs, "real_desk", lambda *things: self.desk)
        work = self.options(self.file, "-g", "all").main(self.cluster.clock, self.cluster.stdout)
        self.cluster.clock.advance(5.0)
        work.cancel()
        self.assertRaises(CancelledError, self.cluster.wait, work)
        self.assertIn("interrupted; nothing was registered", self.cluster.said())

    def test_different_installers(self) -> None:
        """Files for different package managers are two updates."""
        wheel = package_file(self.mktemp(), "x-1-py3-none-any.whl", wheel_bytes("x", "1"))
        self.refused(BadInput, "submit them one by one", self.file, wheel, "-g", "all", "-y")
        self.assertEqual(self.clumpt(wheel, "-g", "all", "-y"), Status.DONE)
        self.assertEqual(self.cluster.updates()[1].update.installer, "pip")

    def test_directory_lost(self) -> None:
        """If the directory goes while following, it goes on asking, and says so if that was in vain."""
        work = self.begin(self.file, "-g", "all", "-y", "--wait", "all", "-t", "60")
        self.cluster.clock.pump([0.1] * 40)
        self.cluster.directory.server.down = True
        self.cluster.clock.pump([0.1] * 100)
        self.assertIn("goes on spreading, and this goes on asking", self.cluster.said())
        self.assertRaises(DirectoryUnavailable, self.cluster.wait, work)
        self.cluster.directory.server.down = False
        self.assertEqual(self.clumpt("status", 1), Status.SPREADING)


def wheel_bytes(name: str, version: str) -> bytes:
    """A wheel with nothing in it but its metadata."""
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as wheel:
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        wheel.writestr(f"{name}-{version}.dist-info/METADATA", text)
    return made.getvalue()


class RemoveTests(VerbCase):
    """C{clumpt remove}."""

    def test_remove(self) -> None:
        """What installed a package removes it."""
        self.clumpt(self.file, "-g", "all", "-y")
        self.assertEqual(self.clumpt("remove", "tool", "-g", "all", "-y"), Status.DONE)
        update = self.cluster.updates()[2].update
        self.assertEqual((update.action, update.installer, update.targets), (Action.REMOVE, "tar", ("tool",)))

    def test_named(self) -> None:
        """Of what nobody knows how it was installed, the installer must be named."""
        self.refused(BadInput, "say --with", "remove", "hello", "-g", "all", "-y")
        self.clumpt("remove", "hello", "-g", "all", "-y", "--with", "dpkg")
        self.assertEqual(self.cluster.updates()[1].update.installer, "dpkg")


class AgainTests(VerbCase):
    """C{clumpt retry} and C{clumpt withdraw}."""

    def setUp(self) -> None:
        super().setUp()
        self.clumpt(self.file, "-g", "all", "-y")
        self.cluster.report("n1", head=1, settled=1)
        self.fail_on("n2", 1)
        self.fail_on("n3", 1, State.HELD, "interrupted: the helper died")

    def test_retry(self) -> None:
        """A retry is for those that failed or are held, and needs no files."""
        self.assertEqual(self.clumpt("retry", 1, "-y", "-m", "space was made"), Status.DONE)
        update = self.cluster.updates()[2].update
        self.assertEqual((update.retries, update.nodes), (1, {"n2", "n3"}))
        self.assertEqual(update.packages, self.cluster.updates()[1].update.packages)

    def test_retry_some(self) -> None:
        """It may be tried on some of them, and nowhere else."""
        self.clumpt("retry", 1, "-y", "-w", "n2")
        self.assertEqual(self.cluster.updates()[2].update.nodes, {"n2"})
        self.refused(NothingMatched, "did not fail on n1", "retry", 1, "-y", "-w", "n1")

    def test_retry_nothing(self) -> None:
        """Where nothing failed there is nothing to try again."""
        self.cluster.report("n2", head=1, settled=1, failures=())
        self.cluster.report("n3", head=1, settled=1, failures=())
        self.refused(NothingMatched, "failed nowhere", "retry", 1, "-y")
        self.refused(BadInput, "there is no update 9; the newest is 1", "retry", 9, "-y")

    def test_withdraw(self) -> None:
        """A withdrawal concerns those whom the update concerns, and is not done twice."""
        self.assertEqual(self.clumpt("withdraw", 1, "-y"), Status.DONE)
        self.assertIn("it is done on n1, which stays so", self.said)
        update = self.cluster.updates()[2].update
        self.assertEqual((update.action, update.withdraws), (Action.WITHDRAW, (1,)))
        self.refused(BadInput, "was withdrawn already, by update 2", "withdraw", 1, "-y")
        self.refused(BadInput, "was withdrawn by update 2", "retry", 1, "-y")

    def test_withdraw_for_the_gone(self) -> None:
        """An update may be withdrawn though a node that it names is gone."""
        self.cluster.deployment.entries[:] = self.cluster.updates().values()
        self.cluster.register(nodes=frozenset([PeerName("n1"), PeerName("gone")]))
        self.assertEqual(self.clumpt("withdraw", 2, "-y"), Status.DONE)
        self.assertEqual(self.cluster.updates()[3].update.nodes, {"n1", "gone"})


class LookTests(VerbCase):
    """The verbs that only look."""

    def setUp(self) -> None:
        super().setUp()
        self.cluster.register(why="first")
        self.cluster.register(groups=frozenset([GroupName("gpu")]))
        for name in ("n1", "n2"):
            self.cluster.report(name, head=2, settled=2)
        self.fail_on("n3", 1)
        self.cluster.report("n3", head=2, settled=2)

    def test_status(self) -> None:
        """One update: who is where and why; the exit status says the same."""
        self.assertEqual(self.clumpt("status", 1), Status.FAILED)
        self.assertRegex(
            self.told, r"update 1: .*\n.*\ndone +2 +n\[1-2\]\nfailed +1 +n3 +exit status 2: no space"
        )
        self.assertEqual(self.clumpt("status", 2), Status.DONE)
        status, told = self.json("status", 1)
        self.assertEqual((status, told["v"], told["kind"], told["over"]), (3, 1, "status", True))
        self.assertEqual(
            told["peers"]["n3"],
            {"stage": "failed", "reason": "no space", "code": 2, "at": NOW, "by": 0},
        )

    def test_status_mended(self) -> None:
        """A retry that succeeded counts."""
        self.cluster.register(retries=1, nodes=frozenset([PeerName("n3")]))
        self.cluster.report("n3", head=3, settled=3)
        self.assertEqual(self.clumpt("status", 1), Status.DONE)
        self.assertRegex(self.told, r"done +1 +n3 +\(by update 3\)")

    def test_overview(self) -> None:
        """Everybody: who is in step, who lags, what is open."""
        self.assertEqual(self.clumpt("status"), Status.FAILED)
        self.assertIn("newest update: 2, peers: 3", self.told)
        self.assertRegex(self.told, r"2 +2 +n\[1-2\] +in step\n2 +1 +n3 +update 1 failed\n")
        self.cluster.report("n3", failures=())
        self.assertEqual(self.clumpt("status"), Status.DONE)
        self.cluster.report("n2", head=1, settled=1)
        self.assertEqual(self.clumpt("status"), Status.SPREADING)
        _, told = self.json("status")
        self.assertEqual(told["peers"]["n2"], {"settled": 1, "behind": "knows updates up to 1", "open": {}})

    def test_overview_of_nothing(self) -> None:
        """A new cluster without updates is in step."""
        self.cluster = Cluster()
        self.assertEqual(self.clumpt("status"), Status.DONE)
        self.cluster.add("n1")
        self.assertEqual(self.clumpt("status"), Status.DONE)
        self.assertEqual(self.clumpt("list"), Status.DONE)
        self.assertEqual(self.clumpt("history"), Status.DONE)

    def test_bad_statement(self) -> None:
        """A peer whose membership is no good is still looked at."""
        peers = self.cluster.directory.server.contents.peers
        peers[PeerName("n1")] = evolve(peers[PeerName("n1")], member=b"nonsense")
        self.assertEqual(self.clumpt("status", 2), Status.DONE)
        self.assertEqual(self.clumpt("status"), Status.FAILED)

    def test_list(self) -> None:
        """The newest updates and their counts."""
        self.assertEqual(self.clumpt("list"), Status.DONE)
        self.assertRegex(self.told, r"1 .* install +all +2/3 +1 failed\n2 .* install +gpu +0/0\n")
        _, told = self.json("list", "-n", 1)
        self.assertEqual([one["seq"] for one in told["updates"]], [2])

    def test_history(self) -> None:
        """Who submitted what, and why."""
        self.clumpt("history")
        self.assertRegex(self.told, r"1 .* submit +install .* all +first\n")
        _, told = self.json("history")
        self.assertEqual(told["updates"][0]["signed_by"], ["submit"])

    def test_node_history(self) -> None:
        """What became of it on one node, only of what concerns it."""
        self.clumpt("history", "--node", "n3")
        self.assertRegex(self.told, r"1 .* failed +.*exit status 2, no space\n$")
        _, told = self.json("history", "--node", "n3")
        self.assertEqual([(one["seq"], one["stage"]) for one in told["updates"]], [(1, "failed")])
        self.refused(NothingMatched, "no peer n9", "history", "--node", "n9")

    def test_info(self) -> None:
        """All that was signed."""
        self.clumpt("info", 1)
        self.assertIn("why: first", self.told)
        self.assertIn("signed_by: submit", self.told)
        _, told = self.json("info", 1)
        self.assertEqual(told["digest"], self.cluster.updates()[1].digest)
        self.refused(BadInput, "there is no update 7", "info", 7)

    def came(self, name: str, *provenances: Provenance) -> None:
        """A node tells where the packages of update 3, and others, came from."""
        packages = self.cluster.updates()[3].update.packages
        told = [(package.sha256, one) for package, one in zip(packages, provenances, strict=True)]
        other = (digest_of(b"another"), Provenance(submitter=10**9, wrong=5, spoilers=("nobody",)))
        self.cluster.report(name, sources=(*told, other), head=3, settled=3)

    def test_sources(self) -> None:
        """From whom the packages came, over all nodes; who sent wrong pieces, and who does not tell."""
        package = a_package("two")
        self.cluster.register(packages=(a_package("one"), package))
        self.clumpt("info", 3)
        self.assertNotIn("came:", self.told)
        self.assertIn("not told by: 3 nodes: n[1-3]", self.told)
        self.came("n1", Provenance(submitter=6000, duplicates=30), Provenance(group=500))
        self.came("n2", Provenance(rack=3000, wrong=2, spoilers=("n7", "n9")), Provenance(others=500))
        self.clumpt("info", 3)
        for line in (
            "came: 9.8 KiB to 2 nodes\n",
            "  from submitter: 5.9 KiB (60%)\n",
            "  from same rack: 2.9 KiB (30%)\n",
            "  from same group: 500 B (5%)\n",
            "  from others: 500 B (5%)\n",
            "  twice: 30 B (0.3%)\n",
            "  wrong pieces: 2, of n7 (told by 1), n9 (told by 1)\n",
            "not told by: 1 nodes: n3\n",
        ):
            self.assertIn(line, self.told)
        self.clumpt("status", 3)
        self.assertIn(
            "came: 9.8 KiB to 2 nodes, 60% from submitter, 30% from same rack, 5% from same group,"
            " 5% from others; 0.3% twice; 2 wrong pieces, of n[7,9]\n",
            self.told,
        )
        _, told = self.json("status", 3)
        summary = {
            "nodes": 2,
            "silent": ["n3"],
            "bytes": {"submitter": 6000, "same_rack": 3000, "same_group": 500, "others": 500},
            "duplicates": 30,
            "wrong": 2,
            "spoilers": {"n7": 1, "n9": 1},
        }
        self.assertEqual(told["sources"], summary)
        _, told = self.json("info", 3)
        by_node = told["sources"].pop("by_node")
        self.assertEqual(told["sources"], summary)
        self.assertEqual(by_node["n2"][package.sha256]["bytes"]["others"], 500)
        self.assertEqual(sorted(by_node), ["n1", "n2"])

    def test_no_sources(self) -> None:
        """An update without packages came from nobody."""
        self.cluster.register(action=Action.REMOVE, packages=(), targets=("hello",))
        self.clumpt("info", 3)
        self.assertNotIn("told by", self.told)
        _, told = self.json("status", 3)
        self.assertEqual((told["sources"]["nodes"], told["sources"]["silent"]), (0, []))

    def test_bad_entries(self) -> None:
        """An update in the directory that is not good is told, and left out."""
        updates = self.cluster.directory.server.contents.updates
        updates[2] = signer("forger").sign_update(updates[2].update)
        self.assertEqual(self.clumpt("list"), Status.DONE)
        self.assertIn("update 2 in the directory is not good", self.said)
        self.assertNotIn("gpu", self.told)

    def test_log(self) -> None:
        """What the run printed, from the node itself, without anything that a terminal obeys."""
        self.cluster.peers[PeerName("n3")].printed[1] = b"unpacking\r\n\x1b[31mno space\n"
        self.assertEqual(self.clumpt("log", 1, "n3"), Status.DONE)
        self.assertEqual(self.told, "unpacking\n?[31mno space\n")
        self.assertFalse(self.cluster.networks[-1].listening)
        self.assertFalse(self.cluster.networks[-1].running)
        self.refused(NothingMatched, "n1 gives no output of update 1", "log", 1, "n1")
        self.refused(NothingMatched, "no peer n7", "log", 1, "n7")
        self.cluster.peers[PeerName("n3")].up = False
        self.refused(ClumptError, "n3 does not answer", "log", 1, "n3")


class WordTests(VerbCase):
    """Words on the command line that cannot be used end with one message and status 2."""

    def ends(self, *words: object) -> str:
        self.patch(sys, "stderr", StringIO())
        ended = self.assertRaises(SystemExit, self.options, *words)
        self.assertEqual(ended.code, Status.USAGE)
        return sys.stderr.getvalue()

    def test_wrong(self) -> None:
        """Each mistake is named."""
        for words, text in (
            ((), "say what to do"),
            (("statu",), "neither a verb nor a file (did you mean status?)"),
            ((self.file,), "for which groups"),
            ((self.file, "-g"), "requires argument"),
            (("-g", "all"), "name the package files"),
            ((self.file, "-g", "a b"), "cannot be the name of a group"),
            ((self.file, "-g", "all", "--with", "dpk"), "is no installer (did you mean dpkg?)"),
            ((self.file, "-g", "all", "--wait", "never"), "seeded or all"),
            ((self.file, "-g", "all", "--timeout", "soon"), "written like 90, 10m"),
            ((self.file, "-g", "all", "--timeout", "0"), "written like 90, 10m"),
            ((self.file, "-g", "all", "--initial", "200"), "from 1 to 100"),
            ((self.file, "-g", "all", "--interrupted", "maybe"), "rerun or hold"),
            ((self.file, "-g", "all", "--nonsense"), "nonsense"),
            (("status", "1", "--", "x"), "words after --"),
            (("status", "one"), "by its number"),
            (("retry",), "by its number"),
            (("seed", "x"), "by its number"),
            (("info", "0"), "by its number"),
            (("log", "1"), "name the node"),
            (("remove", "-g", "all"), "name the packages"),
            (("remove", "../x", "-g", "all"), "cannot be the name of a package"),
            (("remove", "x", "-g", "all", "--with", "command"), "removes nothing by name"),
            (("status", "--config", "/nowhere/clumpt.ini"), "/nowhere/clumpt.ini: cannot be read"),
        ):
            self.assertIn(text, self.ends(*words))

    def test_help(self) -> None:
        """Each verb tells how it is used."""
        for verb, _, kind, _ in Options.subCommands:
            if verb != "demo":
                self.assertRegex(str(kind()), rf"^Usage: clumpt (\[install\]|{verb}) ")
        self.assertIn("Usage: clumpt [VERB]", str(Options()))

    def test_config(self) -> None:
        """The configuration may be named before or after the verb; the nearer one wins."""
        options = Options()
        options.parseOptions(["-c", "/nowhere", "list", "--config", str(self.ini)])
        self.assertEqual(options.subOptions.config.directory.uris, ("ldaps://ldap.example.org",))
