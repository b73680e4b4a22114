"""The words of clumptconf, and how it talks: what is said is understood, what is not is explained."""

import os
import pty
import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import succeed
from twisted.internet.testing import MemoryReactor
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from clumpt.apps import conf_options as said
from clumpt.apps.ask import answer
from clumpt.apps.conf import Options
from clumpt.apps.conf_talk import Talk, table
from clumpt.apps.nodes import expand, expand_hosts, fold
from clumpt.apps.words import AnyOrder
from clumpt.errors import BadInput, NothingMatched
from clumpt.ldap import schema
from clumpt.model import Address, GroupName, Peer, PeerName


def parsed(kind: type[AnyOrder], *words: str) -> Any:
    options = kind()
    options.parseOptions(list(words))
    return options


class NodesTests(SynchronousTestCase):
    """Names of nodes as people write them."""

    peers = tuple(
        Peer(PeerName(f"n{number}"), (), frozenset(map(GroupName, groups)), b"")
        for number, groups in enumerate((["all"], ["all", "gpu"], ["all", "gpu"], []))
    )

    def test_expand(self) -> None:
        """Ranges, lists, and groups of the directory with what is taken out of them."""
        for text, names in (
            ("n7", ["n7"]),
            ("b,a,b", ["b", "a"]),
            ("n[008-010]", ["n008", "n009", "n010"]),
            ("@gpu", ["n1", "n2"]),
            ("@all!@gpu,x", ["n0", "x"]),
            ("@*", ["n0", "n1", "n2"]),
        ):
            self.assertEqual(expand(text, self.peers), names)

    def test_wrong(self) -> None:
        """What is no node set, names nobody, or too many."""
        for text in ("n[1-", "../x", "a b", "n[1-2]/", "-x", "n[1-200000]"):
            self.assertRaises(BadInput, expand, text, self.peers)
        for text in ("", "@nobody", "@gpu!@all"):
            self.assertRaises(NothingMatched, expand, text, self.peers)

    def test_hosts(self) -> None:
        """Hosts in order; an IPv6 address is one."""
        self.assertEqual(expand_hosts("10.0.0.[9-11]"), ["10.0.0.9", "10.0.0.10", "10.0.0.11"])
        self.assertEqual(expand_hosts("fe80::1"), ["fe80::1"])

    def test_fold(self) -> None:
        """Folded names can be read, and expanded again."""
        self.assertEqual(fold([]), "")
        self.assertEqual(fold(["n002", "n001", "x"]), "n[001-002],x")

    def test_without_clustershell(self) -> None:
        """Without ClusterShell plain names still do, and the message says what to install."""
        hidden = patch.dict(sys.modules, {"ClusterShell.NodeSet": None, "ClusterShell.NodeUtils": None})
        hidden.start()
        self.addCleanup(hidden.stop)
        self.assertEqual(expand("a,b"), ["a", "b"])
        self.assertEqual(fold(["b", "a"]), "a,b")
        self.assertIn("pip install", str(self.assertRaises(BadInput, expand, "n[1-2]")))


class WordsTests(SynchronousTestCase):
    """The words of each command."""

    def test_any_order(self) -> None:
        """Options may stand before and after the nodes, in their long and short forms."""
        for words in (
            ("n1", "-g", "all", "--yes"),
            ("-yg", "all", "n1"),
            ("--groups=all", "n1", "-y"),
        ):
            options = parsed(said.Add, *words)
            self.assertEqual((options["nodes"], options["groups"], options["yes"]), ("n1", "all", 1))
        self.assertEqual(parsed(said.Show, "--", "-x")["nodes"], "-x")
        self.assertRaises(UsageError, parsed, said.Add, "n1", "--nonsense")
        self.assertRaises(UsageError, parsed, said.Add, "n1", "n2", "-g", "all")

    def test_addresses(self) -> None:
        """An address is a template, one for each node, or that of the only node."""
        for words, hosts in (
            (("n[1-2]",), ["n1", "n2"]),
            (("n[1-2]", "-a", "%n.site.org"), ["n1.site.org", "n2.site.org"]),
            (("n[1-2]", "-a", "10.0.0.[5-6]"), ["10.0.0.5", "10.0.0.6"]),
            (("n1", "-a", "fd00::7"), ["fd00::7"]),
        ):
            newcomers = parsed(said.Add, *words, "-g", "all")["newcomers"]
            self.assertEqual([address.host for address in newcomers.addresses.values()], hosts)
        addresses = parsed(said.Add, "n1", "-g", "a,b", "-p", "1:2")["newcomers"].addresses
        self.assertEqual(addresses, {"n1": Address("n1", 1, 2)})

    def test_bad_add(self) -> None:
        """What cannot be added is refused before anything is done."""
        self.assertRaises(UsageError, parsed, said.Add, "n1")
        for words in (
            ("n[1-2]", "-a", "10.0.0.1"),
            ("n[1-3]", "-a", "10.0.0.[1-2]"),
            ("n1", "-a", "not a host"),
            ("n1", "-p", "1"),
            ("n1", "-p", "1:1"),
            ("n1", "-p", "0:1"),
            ("n1", "-p", "1:65536"),
            ("n1", "-g", "a b"),
        ):
            groups = () if "-g" in words else ("-g", "all")
            self.assertRaises(BadInput, parsed, said.Add, *words, *groups)

    def test_delivery(self) -> None:
        """Bundles go beside the root document, or where it is said."""
        words = parsed(said.Add, "n1", "-g", "all", "--unpacked")
        self.assertEqual(said.delivery(words, Path("/default")), said.Delivery(Path("/default"), True))
        words = parsed(said.Renew, "n1", "-o", "/elsewhere")
        self.assertEqual(said.delivery(words, Path("/default")), said.Delivery(Path("/elsewhere"), False))

    def test_init(self) -> None:
        """A new deployment needs a name and a directory."""
        must = ("-n", "astro", "-u", "ldap://a,ldaps://b:6360")
        new = parsed(said.Init, *must).new_deployment("0123", None)
        self.assertEqual((new.ident, new.uris), ("astro-0123", ("ldap://a", "ldaps://b:6360")))
        self.assertEqual((new.directory, new.authority), ((), None))
        new = parsed(said.Init, *must, "-b", "ou=x,o=y", "--no-starttls", "--ca", "a", "--ca-key", "b")
        new = new.new_deployment("0123", b"secret")
        self.assertEqual(dict(new.directory), {"base": "ou=x,o=y", "starttls": "no", "allow_plain": "yes"})
        self.assertEqual(new.authority, (Path("a"), Path("b")))
        for words in (("-n", "astro"), ("-u", "ldap://a"), (*must, "--ca", "a"), (*must, "--days", "0")):
            self.assertRaises(UsageError, parsed, said.Init, *words)
        for words in (("-n", "a b", "-u", "ldap://a"), ("-n", "a", "-u", "http://a")):
            self.assertRaises(BadInput, parsed(said.Init, *words).new_deployment, "0123", None)

    def test_others(self) -> None:
        """The other commands."""
        words = parsed(said.SetGroups, "n[1-4]", "intel,all", "-y")
        self.assertEqual((words["nodes"], words["groups"]), ("n[1-4]", {"intel", "all"}))
        self.assertEqual(parsed(said.Revoke, "ab" * 32)["fingerprints"], ("ab" * 32,))
        for wrong in ((), ("ab",)):
            self.assertRaises(UsageError, parsed, said.Revoke, *wrong)
        self.assertEqual(parsed(said.Set, "N=1", "M=2")["settings"], ["N=1", "M=2"])
        self.assertIsNone(parsed(said.Neighbours)["nodes"])
        self.assertEqual(parsed(said.Neighbours, "n1")["nodes"], "n1")
        self.assertEqual(parsed(said.Group, "gpu", "-i", "")["installers"], "")

    def test_schema(self) -> None:
        """Every format of the schema can be printed."""
        self.assertEqual(said.schema_text(parsed(said.Schema)), schema.text())
        for name in ("ldif", "slapd", "base", "status"):
            self.assertIn("dn: ", said.schema_text(parsed(said.Schema, "-f", name)))
        self.assertRaises(UsageError, parsed, said.Schema, "-f", "sql")

    def test_version(self) -> None:
        """The version is Clumpt's, behind a command too."""
        for kind in (Options, said.Add):
            stdout = StringIO()
            self.patch(sys, "stdout", stdout)
            self.assertRaises(SystemExit, kind().parseOptions, ["--version"])
            self.assertTrue(stdout.getvalue().startswith("Clumpt "))

    def test_help(self) -> None:
        """The help says how the tool is called, and every command has one of its own."""
        self.assertTrue(str(Options()).startswith("Usage: clumptconf [--config FILE] COMMAND"))
        for name, *_ in Options.subCommands:
            stdout = StringIO()
            self.patch(sys, "stdout", stdout)
            self.assertRaises(SystemExit, Options().parseOptions, [name, "--help"])
            self.assertIn(f"COMMAND [words] {name}", stdout.getvalue())

    def test_no_command(self) -> None:
        """Without a command all of them are told."""
        stderr = StringIO()
        self.patch(sys, "stderr", stderr)
        ended = self.assertRaises(SystemExit, Options().parseOptions, [])
        self.assertEqual(ended.code, 2)
        for name, *_ in Options.subCommands:
            self.assertIn(name, stderr.getvalue())


class TalkTests(SynchronousTestCase):
    """Questions and answers."""

    def talk(self, answers: Sequence[bool] = (), **more: Any) -> Talk:
        left = list(answers)
        return Talk(StringIO(), StringIO(), (lambda: succeed(left.pop(0))) if answers else None, **more)

    def test_agreed(self) -> None:
        """The answer counts; --yes needs none, --dry-run is no."""
        for talk, agreed in (
            (self.talk([True]), True),
            (self.talk([False]), False),
            (self.talk(yes=True), True),
            (self.talk(yes=True, dry=True), False),
        ):
            self.assertEqual(self.successResultOf(talk.agreed(["a plan"])), agreed)
        self.assertIn("--yes", str(self.failureResultOf(self.talk().agreed(["a plan"]), BadInput).value))

    def test_table(self) -> None:
        """Columns are straight, and no line ends in blanks."""
        self.assertEqual(table([("A", "B"), ("longer", "")]), ["A       B", "longer"])

    def test_terminal(self) -> None:
        """A line of the terminal is waited for, and only yes is yes."""
        for line, expected in (
            (b"y\n", True),
            (b"Yes\n", True),
            (b"n\n", False),
            (b"\n", False),
            (b"yo\n", False),
        ):
            ours, theirs = pty.openpty()
            self.addCleanup(os.close, ours)
            self.addCleanup(os.close, theirs)
            reactor = MemoryReactor()
            asked = answer(reactor, theirs)
            (reader,) = reactor.getReaders()
            self.assertEqual(reader.fileno(), theirs)
            os.write(ours, line)
            reader.doRead()
            self.assertEqual(self.successResultOf(asked), expected)
            self.assertEqual(reactor.getReaders(), [])

    def test_given_up(self) -> None:
        """Giving up leaves no reader behind."""
        reactor = MemoryReactor()
        asked = answer(reactor, 0)
        asked.addErrback(lambda _: None)
        asked.cancel()
        self.assertEqual(reactor.getReaders(), [])
