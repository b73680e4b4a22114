"""Administrators with keys of their own: they come with a scope, are known by name, and go."""

from pathlib import Path
from typing import Any

from twisted.python.usage import UsageError

from clumpt.apps import conf_options
from clumpt.apps.conf_submitters import Scope, add_submitter, list_submitters, retire_submitter
from clumpt.configfile import load
from clumpt.errors import BadInput, Conflict, NothingMatched, Untrusted
from clumpt.model import Action, Entry, GroupName, Update
from clumpt.trust.signer import Signer
from tests.conf_case import IDENT, ConfCase

GPU = GroupName("gpu")


class SubmittersCase(ConfCase):
    """A deployment with nodes."""

    def setUp(self) -> None:
        super().setUp()
        self.make()
        self.add("n[1-2]", "-g", "all")
        self.network.reloaded.clear()

    def admit(self, name: str, scope: Scope | None = None, out: Path | None = None, **more: Any) -> None:
        self.did(add_submitter(self.environment(**more), name, scope or Scope(), out))

    def signed(self, key: Path, seq: int = 1, group: GroupName = GPU) -> Entry:
        """An update that is signed with a key."""
        keyring = self.site().keyring
        update = Update(IDENT, seq, keyring.origin, f"s{seq}", 0, frozenset([group]), Action.INSTALL, "dpkg")
        return Signer.load(key).sign_update(update)

    def listed(self) -> list[str]:
        self.did(list_submitters(self.environment()))
        return self.stdout.getvalue().splitlines()


class AddTests(SubmittersCase):
    """C{clumptconf submitter NAME}."""

    def test_scope(self) -> None:
        """What is signed with the new key counts within its scope, and everybody is told."""
        self.admit("alice", Scope(frozenset([GPU]), frozenset(["dpkg"])))
        folder = self.out / "clumpt/submitters/alice"
        config = load(folder / "clumpt.ini")
        self.assertEqual(config.directory.uris, ("ldaps://127.0.0.1:6360",))
        for path in (config.submit.key, config.tls.ca, config.trust.root, config.tls.certificate):
            self.assertTrue(path.exists(), path)
        for path in (config.submit.key, config.tls.key):
            self.assertEqual(path.stat().st_mode & 0o777, 0o600, path)
        self.assertEqual(self.network.reloaded, ["n1", "n2"])
        keyring = self.site().keyring
        self.assertEqual(keyring.version, 2)
        keyring.entry(self.signed(config.submit.key).envelope)
        other = self.signed(config.submit.key, group=GroupName("all"))
        self.assertIn(
            "may not sign for group all", self.fails(Untrusted, lambda: keyring.entry(other.envelope))
        )
        self.assertEqual(
            self.listed(), ["alice: gpu, with dpkg", "submit: all groups, with any installer, commands too"]
        )

    def test_elsewhere(self) -> None:
        """The files may be written elsewhere; a dry run writes and publishes nothing."""
        out = self.out / "usb"
        self.admit("bob", out=out, dry=True)
        self.assertFalse(out.exists())
        self.assertEqual(self.site().keyring.version, 1)
        self.admit("bob", Scope(command=True), out)
        self.assertTrue((out / "clumpt/submit-key.pem").exists())
        self.assertIn("bob: all groups, with any installer, commands too", self.listed())

    def test_refused(self) -> None:
        """A name twice, a name that is none, or no root key: nothing is changed."""
        self.admit("alice")
        self.fails(Conflict, lambda: add_submitter(self.environment(), "alice", Scope(), None))
        self.fails(BadInput, lambda: add_submitter(self.environment(), "a b", Scope(), None))
        self.env.keys.places.root_key.unlink()
        told = self.fails(BadInput, lambda: add_submitter(self.environment(), "bob", Scope(), None))
        self.assertIn("the root key is not here", told)
        self.assertFalse((self.out / "clumpt/submitters/bob").exists())
        self.assertEqual(self.site().keyring.version, 2)

    def test_json(self) -> None:
        """For programs."""
        self.admit("alice", Scope(frozenset([GPU])))
        self.did(list_submitters(self.environment(json=True)))
        alice = {"groups": ["gpu"], "installers": None, "command": False, "max_seq": 0}
        self.assertEqual(self.shown()["submitters"]["alice"], alice)


class RetireTests(SubmittersCase):
    """C{clumptconf submitter NAME --retire}."""

    def retire(self, name: str = "alice") -> str:
        self.did(retire_submitter(self.environment(), name))
        return self.said()

    def test_retired(self) -> None:
        """What was registered stays good; what is signed afterwards counts no more."""
        self.admit("alice")
        key = self.out / "clumpt/submitters/alice/clumpt/submit-key.pem"
        first = self.signed(key)
        self.did(self.directory.register(first))
        self.retire()
        keyring = self.site().keyring
        self.assertEqual(keyring.entry(first.envelope).seq, 1)
        later = self.signed(key, 2)
        self.assertIn("retired after update 1", self.fails(Untrusted, lambda: keyring.entry(later.envelope)))
        self.assertIn("alice: all groups, with any installer; retired after update 1", self.listed())
        self.assertIn("nothing to do", self.retire())
        self.assertEqual(self.site().keyring.version, 3)

    def test_refused(self) -> None:
        """Somebody unknown, or while nothing was submitted yet."""
        told = self.fails(NothingMatched, lambda: retire_submitter(self.environment(), "carol"))
        self.assertIn("there are submit", told)
        self.fails(BadInput, lambda: retire_submitter(self.environment(), "submit"))


class WordsTests(SubmittersCase):
    """The words of the command."""

    def test_words(self) -> None:
        """A scope is what is named, and all of what is not."""
        words = conf_options.SubmitterOptions()
        words.parseOptions(["alice", "-g", "gpu,all", "-i", "dpkg", "-c"])
        scope = Scope(frozenset([GPU, GroupName("all")]), frozenset(["dpkg"]), True)
        self.assertEqual((words["name"], words["scope"], words["retire"]), ("alice", scope, 0))
        words = conf_options.SubmitterOptions()
        words.parseOptions(["alice"])
        self.assertEqual(words["scope"], Scope())
        with self.assertRaises(UsageError):
            conf_options.SubmitterOptions().parseOptions(["alice", "--retire", "-c"])
