"""The check finds what is wrong, says how to mend it, and is content with what is good."""

from attrs import evolve

from clumpt.apps.conf_alter import set_groups
from clumpt.apps.conf_check import check
from clumpt.expiry import worry
from clumpt.model import GroupName, PeerName, PeerStatus, Settings
from clumpt.trust.pki import ADMIN, SUBMITTER
from clumpt.trust.signer import Signer
from tests.conf_case import NOW, ConfCase

DAY = 86400.0


class CheckCase(ConfCase):
    def setUp(self) -> None:
        super().setUp()
        self.make()
        self.add("n[01-12]", "-g", "all")
        for name in self.names(self.site().peers):
            self.report(name)
        root_key = self.env.keys.places.root_key
        root_key.rename(self.out / "safe")

    def report(self, name: str, **fields: object) -> None:
        status = PeerStatus(PeerName(name), **{"seen": int(NOW), **fields})
        self.did(self.directory.as_peer(PeerName(name)).report(status))

    def found(self, *levels: str, status: int | None = None) -> list[str]:
        """The lines of these levels."""
        env = self.environment()
        ended = self.did(check(env))
        if status is not None:
            self.assertEqual(ended, status, self.stdout.getvalue())
        return [line for line in self.stdout.getvalue().splitlines() if line.split()[0] in levels]

    def spoil(self, name: str, **fields: object) -> None:
        self.did(self.directory.put_peer(evolve(self.peer(name), **fields)))


class CheckTests(CheckCase):
    """Each thing that can be wrong, by itself."""

    def test_good(self) -> None:
        """A deployment as it should be is all ok."""
        self.assertEqual(self.found("warn", "fail", status=0), [])
        lines = self.found("ok")
        for what in ("configuration", "schema", "directory", "statements", "peers", "graph", "group all"):
            self.assertTrue([line for line in lines if line.startswith(f"ok    {what}: ")], what)
        self.assertTrue([line for line in lines if "bears the failure of any" in line], lines)

    def test_json(self) -> None:
        """For programs, with a version."""
        self.did(check(self.environment(json=True)))
        data = self.shown()
        self.assertEqual((data["v"], data["findings"][0]["subject"]), (1, "configuration"))

    def test_root_key(self) -> None:
        """A root key that is still on this machine."""
        (self.out / "safe").rename(self.env.keys.places.root_key)
        (line,) = self.found("warn", "fail", status=0)
        self.assertIn("take it off-line", line)

    def test_certificates(self) -> None:
        """Certificates that end soon, have ended, or have not begun, which is a clock that is wrong."""
        for days, level, what in ((3635, "warn", "good for 15 days"), (3651, "fail", "expired")):
            self.now = NOW + days * DAY
            lines = [line for line in self.found(level) if "certificate" in line]
            self.assertEqual(len([line for line in lines if what in line]), 3, lines)
            self.assertTrue(all("-> clumptconf renew clumpt-" in line for line in lines))
        self.now = NOW - DAY
        self.assertTrue([line for line in self.found("fail", status=3) if "clock" in line])

    def test_nodes_certificates(self) -> None:
        """Certificates of nodes that end soon, or have ended since, by what the nodes last said."""
        for name, days in (("n01", 10), ("n02", 10), ("n03", 20)):
            self.report(name, reason=worry(NOW + days * DAY, NOW))
        lines = self.found("warn", "fail", status=0)
        self.assertEqual(len(lines), 2, lines)
        self.assertIn("those of n[01-02] are good for 10 days -> clumptconf renew n[01-02], and", lines[0])
        self.now = NOW + 11 * DAY
        (line,) = self.found("fail", status=3)
        self.assertIn("those of n[01-02] have ended -> clumptconf renew n[01-02], and unpack", line)

    def test_missing_certificate(self) -> None:
        """A certificate that is missing or spoilt."""
        self.env.keys.places.pair("submitter")[0].unlink()
        self.env.keys.places.pair("admin")[0].write_text("spoilt")
        self.assertEqual(len(self.found("warn")), 2)

    def test_keys(self) -> None:
        """A signing key that the root document does not name, or that others may read."""
        places = self.env.keys.places
        places.submit_key.unlink()
        self.assertEqual(self.found("fail", status=0), [])
        Signer.generate().save(places.submit_key)
        places.enrol_key.chmod(0o644)
        lines = self.found("fail", status=3)
        self.assertEqual(len(lines), 2)
        self.assertIn("chmod 600", lines[0])
        self.assertIn("does not name it", lines[1])

    def test_directory_down(self) -> None:
        """Without the directory the files are checked all the same; the status says what was away."""
        self.directory.server.down = True
        (line,) = self.found("fail", status=5)
        self.assertIn("directory", line)
        self.assertTrue(self.found("ok"))

    def test_root(self) -> None:
        """A root document that is none."""
        self.env.keys.places.root.write_text("{}")
        self.directory.server.contents.roots[1] = b"{}"
        (line,) = self.found("fail", status=2)
        self.assertIn("root.json is no root document to trust", line)

    def test_schema(self) -> None:
        """A directory that lacks something of the schema."""
        self.setup.missing = ["attribute type clumptRack is missing"]
        (line,) = self.found("fail", status=3)
        self.assertIn("clumptconf schema --format", line)

    def test_clock(self) -> None:
        """A report from the future."""
        self.report("n01", seen=int(NOW) + 600)
        (line,) = self.found("warn", status=0)
        self.assertIn("n01", line)

    def test_statements(self) -> None:
        """Statements that are missing, another's, or say other groups than the directory."""
        self.spoil("n01", member=b"")
        self.spoil("n02", member=self.peer("n03").member)
        self.did(set_groups(self.env, "n04", frozenset([GroupName("all"), GroupName("gpu")])))
        self.spoil("n04", groups=frozenset([GroupName("all")]))
        lines = self.found("fail", status=3)
        self.assertTrue([line for line in lines if "n01: no good statement" in line], lines)
        self.assertTrue([line for line in lines if "n02: the statement is that of n03" in line], lines)
        self.assertTrue([line for line in lines if "set-groups n04" in line], lines)

    def test_peers(self) -> None:
        """Nodes that never reported, did not lately, or are not well."""
        self.add("n13", "-g", "all")
        self.report("n01", seen=int(NOW) - 1000)
        self.report("n02", state="isolated", reason="no member can be reached")
        self.report("n03", state="stopped")
        self.report("n04", reason="no room for a package of 5 bytes")
        lines = self.found("warn", "fail", status=3)
        self.assertEqual(len(lines), 4, lines)
        self.assertIn("never reported: n13", lines[0])
        self.assertIn("not seen for 900 s: n01", lines[1])
        self.assertIn("n02 isolated: no member can be reached -> clumptconf show n02", lines[2])
        self.assertIn("n04 active, but: no room for a package", lines[3])


class GraphTests(CheckCase):
    """Neighbour lists that are not as they should be."""

    def test_lists(self) -> None:
        """Neighbours that are gone, none in a group, too few, nobody who knows a node."""
        for peer in self.site().peers:
            known = [name for name in peer.neighbours if name != "n01"]
            self.did(self.directory.put_peer(evolve(peer, neighbours=tuple(known))))
        self.spoil("n02", neighbours=())
        self.spoil("n03", neighbours=(*self.peer("n03").neighbours, PeerName("gone")))
        lines = self.found("warn", "fail", status=3)
        for what in ("gone or of no common group: n03", "no neighbour of group all: n02", "M = 2: n01"):
            self.assertTrue([line for line in lines if what in line], (what, lines))
        self.assertTrue([line for line in lines if "not everybody is reached" in line], lines)
        self.assertTrue(all(line.endswith("-> clumptconf rewire") for line in lines), lines)

    def test_few(self) -> None:
        """Fewer neighbours than N."""
        self.did(self.directory.change_settings(Settings(self.env.keys.keyring().deployment, 6)))
        (line,) = self.found("warn", "fail", status=0)
        self.assertIn("fewer than N = 6: n[01-12]", line)

    def test_more(self) -> None:
        """More neighbours than N are no fault."""
        self.spoil("n02", neighbours=tuple(name for name in self.names(self.site().peers) if name != "n02"))
        self.assertEqual(self.found("warn", "fail", status=0), [])
        self.assertTrue([line for line in self.found("ok") if "more than N = 5" in line])

    def test_weak(self) -> None:
        """A group that a single failure cuts apart, with the weak point's name."""
        names = self.names(self.site().peers)
        for here, there in zip(names, names[1:] + names[:1], strict=True):
            self.spoil(here, neighbours=(there,))
        lines = self.found("warn")
        self.assertTrue([line for line in lines if "the failure of n[01-12] cuts" in line], lines)

    def test_alone(self) -> None:
        """A group of one is no fault (H7)."""
        self.did(set_groups(self.env, "n04", frozenset([GroupName("all"), GroupName("gpu")])))
        self.assertEqual(self.found("warn", "fail", status=0), [])
        self.assertTrue([line for line in self.found("ok") if "n04 is alone" in line])

    def test_empty(self) -> None:
        """A deployment without nodes says how to add them."""
        for name in self.names(self.site().peers):
            self.did(self.directory.remove_peer(PeerName(name)))
        (line,) = self.found("warn", "fail", status=0)
        self.assertIn("clumptconf add", line)
        self.assertEqual([peer.name for peer in self.site().peers], [ADMIN, SUBMITTER])
