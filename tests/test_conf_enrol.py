"""Nodes come, change and go (R66-R75, H10)."""

import tarfile
from pathlib import Path

from attrs import evolve

from clumpt.apps.conf_alter import remove, renew, revoke, set_groups
from clumpt.apps.conf_enrol import add
from clumpt.apps.conf_issue import Delivery
from clumpt.apps.conf_settings import rewire
from clumpt.configfile import load
from clumpt.connectivity import bearing, within
from clumpt.errors import BadInput, Conflict, DirectoryUnavailable, IdentityError, NothingMatched, Untrusted
from clumpt.model import GroupName, PeerName, PeerStatus
from clumpt.testing.keys import Deployment
from clumpt.trust.pki import ADMIN, Identity, expires, fingerprint
from clumpt.trust.signer import Signer
from tests.conf_case import NOW, ConfCase

ALL, INTEL = GroupName("all"), GroupName("intel")


class EnrolCase(ConfCase):
    def setUp(self) -> None:
        super().setUp()
        self.make()


class AddTests(EnrolCase):
    """New nodes."""

    def test_twenty(self) -> None:
        """Twenty nodes in two groups, as the paper has it (R79): known, signed, and wired for failures."""
        self.add("n[001-010]", "-g", "grupoIntel,grupoTodos", "-a", "10.0.0.[1-10]", "--rack", "r1")
        self.add("n[011-020]", "-g", "grupoAMD,grupoTodos", "-a", "%n.site")
        site = self.site()
        nodes = [peer for peer in site.peers if peer.addresses]
        self.assertEqual(len(nodes), 20)
        self.assertEqual(str(nodes[1].addresses[0]), "10.0.0.2:4417:4418")
        self.assertEqual((str(nodes[19].addresses[0]), nodes[0].rack), ("n020.site:4417:4418", "r1"))
        for peer in nodes:
            self.assertEqual(site.keyring.member(peer.member).groups, peer.groups)
        for group in ("grupoIntel", "grupoAMD", "grupoTodos"):
            graph = within(nodes, GroupName(group))
            self.assertGreaterEqual(bearing(graph, self.env.random).failures, 1)

    def test_tells(self) -> None:
        """Those whose neighbours change are told, as the administrator, and only those (R67)."""
        self.add("n[01-12]", "-g", "all")
        self.assertEqual(self.network.reloaded, [])
        before = {peer.name: peer.neighbours for peer in self.site().peers}
        self.add("late", "-g", "all")
        changed = [peer.name for peer in self.site().peers if before.get(peer.name) != peer.neighbours]
        self.assertEqual(sorted([*self.network.reloaded, "late"]), sorted(changed))
        self.assertEqual(self.network.greeted[0][0::3], ("site-0123456789ab", self.peer(ADMIN).member))
        self.assertEqual((self.network.open, self.network.stopped), ([], 1))

    def test_silent(self) -> None:
        """Who is down is named, and the rest is done."""
        self.add("n[01-12]", "-g", "all")
        self.network.down = {f"n{number:02}" for number in range(1, 13)}
        self.add("late", "-g", "all")
        self.assertIn("Not told, they notice within 300 s", self.said())
        self.assertIn("late", self.names(self.site().peers))

    def test_not_enrolled(self) -> None:
        """If the tool itself is not known, nobody can be told, which is no reason not to add."""
        self.add("n[01-03]", "-g", "all")
        self.did(self.directory.remove_peer(PeerName(ADMIN)))
        self.add("late", "-g", "all")
        self.assertIn("could not be told", self.said())
        self.assertIn("publish", self.said())

    def test_bundle(self) -> None:
        """A bundle is all that the node needs below /etc, and only its owner can read it."""
        self.add("n1", "-g", "all", "-a", "10.0.0.7", "-p", "5000:5001")
        path = self.out / "nodes/n1.tar"
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(path.parent.stat().st_mode & 0o777, 0o700)
        etc = Path(self.mktemp())
        with tarfile.open(path) as tar:
            modes = {member.name: member.mode for member in tar.getmembers()}
            tar.extractall(etc, filter="data")
        self.assertEqual(
            modes,
            {
                "clumpt.ini": 0o644,
                "clumpt/root.json": 0o644,
                "clumpt/tls/ca.pem": 0o644,
                "clumpt/tls/peer.pem": 0o644,
                "clumpt/tls/peer-key.pem": 0o600,
            },
        )
        config = load(etc / "clumpt.ini")
        self.assertEqual(
            (config.peer.name, config.peer.notify_port, config.peer.update_port), ("n1", 5000, 5001)
        )
        self.assertEqual(config.directory, self.env.config.directory)
        identity = Identity.load(config.tls.certificate, config.tls.key)
        member = self.site().keyring.member(self.peer("n1").member)
        self.assertEqual(member.fingerprint, fingerprint(identity.certificate))
        self.assertEqual(config.trust.root.read_bytes(), self.env.config.trust.root.read_bytes())

    def test_folder(self) -> None:
        """Or a folder, ready for a daemon."""
        self.add("n1", "-g", "all", unpacked=True)
        folder = self.out / "nodes/n1"
        self.assertEqual(load(folder / "clumpt.ini").tls.key, folder / "clumpt/tls/peer-key.pem")
        self.assertEqual((folder / "clumpt/tls/peer-key.pem").stat().st_mode & 0o777, 0o600)

    def test_unwritable(self) -> None:
        """Where the bundle cannot be written, the node is not added."""
        folder = self.out / "nodes/n1"
        folder.mkdir(parents=True)
        (folder / "clumpt").write_text("a file, not a folder")
        told = self.fails(BadInput, lambda: self.add_failing("n1", "-g", "all", unpacked=True))
        self.assertIn("cannot make the folder", told)
        (folder / "clumpt").unlink()
        (folder / "clumpt.ini").unlink()
        (folder / "clumpt.ini").mkdir()
        told = self.fails(BadInput, lambda: self.add_failing("n1", "-g", "all", unpacked=True))
        self.assertIn("cannot write", told)
        self.assertEqual(self.names(self.site().peers), [])

    def test_own_certificate(self) -> None:
        """A node that has its key already brings its certificate, and its key stays where it is."""
        self.add("n1", "-g", "all", unpacked=True)
        pem = self.out / "nodes/n1/clumpt/tls/peer.pem"
        self.did(remove(self.env, "n1"))
        (self.out / "clumpt/tls/ca-key.pem").unlink()
        told = self.fails(BadInput, lambda: self.add_failing("n2", "-g", "all"))
        self.assertIn("--certificate", told)
        self.add("n3", "-g", "all", "--certificate", str(pem), unpacked=True)
        self.assertFalse((self.out / "nodes/n3/clumpt/tls/peer-key.pem").exists())
        bad = self.out / "bad.pem"
        self.fails(BadInput, lambda: self.add_failing("n4", "-g", "all", "--certificate", str(bad)))
        bad.write_text("no certificate")
        self.fails(BadInput, lambda: self.add_failing("n4", "-g", "all", "--certificate", str(bad)))
        self.fails(BadInput, lambda: self.add_failing("n[5-6]", "-g", "all", "--certificate", str(pem)))

    def add_failing(self, *words: str, unpacked: bool = False) -> object:
        return add(self.env, self.newcomers(*words), Delivery(self.out / "nodes", unpacked))

    def test_again(self) -> None:
        """The same again does nothing; what was cut short is finished."""
        self.add("n[1-4]", "-g", "all")
        before = self.directory.server.snapshot()
        self.add("n[1-4]", "-g", "all")
        self.assertEqual(self.directory.server.contents, before)
        self.assertIn("nothing to do", self.said())
        self.add("n[1-6]", "-g", "all")
        self.assertEqual(len(self.names(self.site().peers)), 6)
        for peer in ("n1", "n2", "n3", "n4"):
            self.assertEqual(self.peer(peer).member, before.peers[PeerName(peer)].member)

    def test_cut_short(self) -> None:
        """If the directory goes away in the middle, adding them again completes it."""
        self.add("n1", "-g", "all")
        self.directory.server.lost_answers = 2
        self.fails(DirectoryUnavailable, lambda: self.add_failing("n[1-6]", "-g", "all"))
        self.add("n[1-6]", "-g", "all")
        self.add("n[1-6]", "-g", "all")
        self.assertIn("nothing to do", self.said())
        self.assertEqual(len(self.names(self.site().peers)), 6)

    def test_clash(self) -> None:
        """A node that is there with other groups, or with its name in other letters, is not overwritten."""
        self.add("n1", "-g", "all")
        before = self.directory.server.snapshot()
        for words in (
            ("n[0-1]", "-g", "all,intel"),
            ("n1", "-g", "all", "-a", "elsewhere"),
            ("N1", "-g", "all"),
        ):
            self.assertIn("n1", self.fails(Conflict, lambda words=words: self.add_failing(*words)))
        for name in (ADMIN, "Clumpt-Admin", "clumpt-replicator"):
            told = self.fails(BadInput, lambda name=name: self.add_failing(name, "-g", "all"))
            self.assertIn("tool", told)
        self.assertIn("letters", self.fails(BadInput, lambda: self.add_failing("a,A", "-g", "all")))
        self.assertEqual(self.directory.server.contents, before)

    def test_new_group(self) -> None:
        """A group that is not there is made, after a question that shows what may have been meant."""
        self.add("n1", "-g", "intel")
        env = self.ask(False)
        self.add("n2", "-g", "intle", env=env)
        self.assertIn("New group: intle (or did you mean intel?)", self.said())
        self.assertEqual(self.names(self.site().peers), ["n1"])
        self.add("n2", "-g", "intle", env=self.ask(True))
        self.assertEqual([group.name for group in self.site().groups], ["intel", "intle"])

    def test_dry_run(self) -> None:
        """A dry run says what would be done, and does nothing."""
        before = self.directory.server.snapshot()
        self.add("n[1-3]", "-g", "all", env=self.environment(dry=True))
        self.assertIn("New: n[1-3] in all", self.said())
        self.assertEqual(self.directory.server.contents, before)
        self.assertFalse((self.out / "nodes").exists())

    def test_nobody_to_ask(self) -> None:
        """A script must say --yes."""
        self.env = self.environment(yes=False)
        self.assertIn("--yes", self.fails(BadInput, lambda: self.add_failing("n1", "-g", "all")))


class ChangeTests(EnrolCase):
    """Nodes that are there."""

    def setUp(self) -> None:
        super().setUp()
        self.add("n[1-6]", "-g", "all")
        self.network.reloaded.clear()

    def test_set_groups(self) -> None:
        """Other groups are the next statement for the same key; the node itself is told too."""
        old = self.site().keyring.member(self.peer("n1").member)
        self.did(set_groups(self.env, "n[1-2]", frozenset([ALL, INTEL])))
        peer = self.peer("n1")
        new = self.site().keyring.member(peer.member)
        self.assertEqual(peer.groups, {ALL, INTEL})
        self.assertEqual(
            (new.groups, new.generation, new.fingerprint), (peer.groups, old.generation + 1, old.fingerprint)
        )
        self.assertLessEqual({"n1", "n2"}, set(self.network.reloaded))
        self.assertIn("n2", peer.neighbours)

    def test_same_groups(self) -> None:
        """The same groups are nothing to do."""
        self.did(set_groups(self.env, "@all", frozenset([ALL])))
        self.assertIn("nothing to do", self.said())
        self.assertEqual(self.network.reloaded, [])

    def test_no_groups(self) -> None:
        """No groups at all, unknown nodes and tools are refused."""
        self.fails(BadInput, lambda: set_groups(self.env, "n1", frozenset()))
        self.fails(NothingMatched, lambda: set_groups(self.env, "n[6-7]", frozenset([ALL])))
        self.assertIn("tool", self.fails(BadInput, lambda: set_groups(self.env, ADMIN, frozenset([ALL]))))

    def test_bad_statement(self) -> None:
        """What stands on a statement that is not good is not signed anew."""
        self.did(self.directory.put_peer(evolve(self.peer("n1"), member=b"{}")))
        told = self.fails(BadInput, lambda: set_groups(self.env, "n1", frozenset([INTEL])))
        self.assertIn("renew n1", told)

    def test_renew(self) -> None:
        """A new key is the next statement; the groups and neighbours stay."""
        old = self.peer("n1")
        self.did(renew(self.env, "n1", Delivery(self.out / "nodes")))
        new = self.peer("n1")
        self.assertEqual(evolve(new, member=old.member), old)
        keyring = self.site().keyring
        before, after = keyring.member(old.member), keyring.member(new.member)
        self.assertEqual(after.generation, before.generation + 1)
        self.assertNotEqual(after.fingerprint, before.fingerprint)

    def test_stolen(self) -> None:
        """A stolen key is revoked besides, and everybody is told; without the root key nothing is done."""
        old = self.peer("n1")
        self.did(renew(self.env, "n1", Delivery(self.out / "nodes"), stolen=True))
        keyring = self.site().keyring
        self.assertIn("revoked", self.fails(Untrusted, lambda: keyring.member(old.member)))
        self.assertEqual(keyring.member(self.peer("n1").member).peer, "n1")
        self.assertEqual(len(self.network.reloaded), 6)
        self.env.keys.places.root_key.unlink()
        before = self.directory.server.snapshot()
        nodes = Delivery(self.out / "nodes")
        told = self.fails(BadInput, lambda: renew(self.env, "n1", nodes, stolen=True))
        self.assertIn("root key", told)
        self.assertEqual(self.directory.server.contents, before)

    def test_renew_bad(self) -> None:
        """It mends a statement that is not good."""
        self.did(self.directory.put_peer(evolve(self.peer("n1"), member=b"{}")))
        self.did(renew(self.env, "n1", Delivery(self.out / "nodes")))
        self.assertEqual(self.site().keyring.member(self.peer("n1").member).peer, "n1")

    def test_renew_own(self) -> None:
        """A tool or the directory server gets a new certificate for its key, with the directory away."""
        self.directory.server.down = True
        self.now += 1000 * 86400
        for name, path in self.env.keys.places.own_certificates.items():
            old = path.read_bytes()
            self.did(renew(self.environment(dry=True), name, Delivery(self.out)))
            self.assertEqual(path.read_bytes(), old)
            self.did(renew(self.env, name, Delivery(self.out)))
            identity = Identity.load(path, path.with_name(f"{path.stem}-key.pem"))
            self.assertGreater(expires(identity.certificate), self.now + 3600 * 86400)

    def test_remove(self) -> None:
        """Who goes is gone from entry and lists, its key is revoked; those it may be linked to are told."""
        old = self.peer("n3")
        knew = {peer.name for peer in self.site().peers if "n3" in peer.neighbours}
        self.did(remove(self.env, "n3"))
        site = self.site()
        self.assertNotIn("n3", self.names(site.peers))
        self.assertFalse([peer for peer in site.peers if "n3" in peer.neighbours])
        self.assertLessEqual(knew | set(old.neighbours), set(self.network.reloaded))
        self.assertEqual(site.keyring.version, 2)
        self.assertIn("revoked", self.fails(Untrusted, lambda: site.keyring.member(old.member)))

    def test_remove_without_root_key(self) -> None:
        """Without the root key it goes all the same, and the command that revokes is told."""
        old = self.site().keyring.member(self.peer("n3").member)
        self.env.keys.places.root_key.rename(self.out / "safe")
        self.did(remove(self.env, "n3"))
        self.assertNotIn("n3", self.names(self.site().peers))
        self.assertIn(f"clumptconf revoke {old.fingerprint}", self.said())
        self.assertIn("root key", self.fails(BadInput, lambda: revoke(self.env, [old.fingerprint])))
        (self.out / "safe").rename(self.env.keys.places.root_key)
        self.did(revoke(self.env, [old.fingerprint]))
        self.assertEqual(self.site().keyring.root.revoked, {old.fingerprint})

    def test_several_root_keys(self) -> None:
        """Where a root document needs several signatures, nodes go all the same, unrevoked."""
        places = self.env.keys.places
        signer = Signer.load(places.root_key)
        root = self.site().keyring.root
        other = Signer.generate()
        keys = (*root.keys, other.public("other"))
        two = evolve(root, version=2, keys=keys, root_keys=root.root_keys | {other.keyid}, threshold=2)
        self.did(self.directory.add_root(2, other.cosign(signer.sign_root(two))))
        self.did(remove(self.env, "n3"))
        self.assertIn("needs 2 signatures", self.said())
        self.assertEqual(self.site().keyring.version, 2)

    def test_come_back(self) -> None:
        """Who was removed can come back: its new statement is newer than all before."""
        old = self.peer("n3")
        self.env.keys.places.root_key.unlink()
        self.did(remove(self.env, "n3"))
        self.now += 1
        self.add("n3", "-g", "all")
        keyring = self.site().keyring
        keyring.member(old.member)
        self.assertEqual(keyring.member(self.peer("n3").member).peer, "n3")

    def test_no(self) -> None:
        """A no changes nothing."""
        before = self.directory.server.snapshot()
        mark = self.site().keyring.member(self.peer("n3").member).fingerprint
        self.did(remove(self.ask(False), "n3"))
        self.did(renew(self.ask(False), "n3", Delivery(self.out / "elsewhere")))
        self.did(revoke(self.ask(False), [mark]))
        self.did(set_groups(self.ask(False), "n3", frozenset([INTEL])))
        self.assertEqual(self.directory.server.contents, before)

    def test_rewire(self) -> None:
        """Lists that were spoilt are mended, and only those."""
        self.did(rewire(self.env))
        self.assertIn("nothing to do", self.said())
        before = self.peer("n2")
        self.did(self.directory.put_peer(evolve(before, neighbours=())))
        self.did(rewire(self.env))
        self.assertEqual(set(self.peer("n2").neighbours), set(before.neighbours))
        self.assertEqual(self.network.reloaded, ["n2"])


class SiteTests(EnrolCase):
    """The directory must be this deployment's."""

    def test_unpublished(self) -> None:
        """A directory without a root document is not set up yet."""
        self.directory.server.contents.roots.clear()
        self.assertIn("publish", self.fails(IdentityError, lambda: rewire(self.env)))

    def test_other(self) -> None:
        """One with another root document, or other settings, is another deployment's."""
        contents = self.directory.server.contents
        contents.settings = evolve(contents.settings, deployment="other")
        self.fails(IdentityError, lambda: rewire(self.env))
        contents.roots[1] = Deployment().root_envelope
        self.fails(IdentityError, lambda: rewire(self.env))

    def test_status_goes(self) -> None:
        """A removed node's report goes with it."""
        self.add("n1", "-g", "all")
        view = self.directory.as_peer(PeerName("n1"))
        self.did(view.report(PeerStatus(PeerName("n1"), seen=int(NOW))))
        self.did(remove(self.env, "n1"))
        self.assertEqual(self.did(self.directory.statuses()), {})
