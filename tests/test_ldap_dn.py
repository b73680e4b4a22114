"""Distinguished names."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt.errors import BadInput
from clumpt.ldap import layout
from clumpt.ldap.dn import Tree, child, key, parse

#: Surrogates are no text that LDAP could carry.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


class NameTests(SynchronousTestCase):
    """Names are made and understood."""

    @given(TEXT)
    @example("  # two, = three\\ ")
    @example(" ")
    @example("\\2c")
    @example("\0\n")
    def test_any_value(self, value: str) -> None:
        """Whatever a value is, it comes back, and never becomes syntax."""
        parts = parse(child("cn", value, "ou=peers,o=clumpt"))
        self.assertEqual(parts, (("cn", value), ("ou", "peers"), ("o", "clumpt")))

    def test_spellings(self) -> None:
        """Spaces, case and the way of escaping do not make another name."""
        for text in ("CN=N\u00fc\\, 1,OU=Peers,O=clumpt", "cn = n\\C3\\BC\\2c 1 , ou=peers,  o= clumpt"):
            self.assertEqual(key(text), (("cn", "n\u00fc, 1"), ("ou", "peers"), ("o", "clumpt")))
        for text, value in [
            ("cn=a\\   ,o=x", "a "),
            ("cn=a\\\\  ,o=x", "a\\"),
            ("cn=a  b  ", "a  b"),
            ("cn= ", ""),
        ]:
            self.assertEqual(parse(text)[0], ("cn", value))

    def test_refused(self) -> None:
        """What is no name is refused."""
        for text in ("", "clumpt", "o=clumpt,", ",o=clumpt", "=x", "cn=a\\", "cn=\\ff", "cn=" + 5000 * " "):
            self.assertRaises(ValueError, parse, text)


class TreeTests(SynchronousTestCase):
    """Where things lie."""

    def test_places(self) -> None:
        """Every kind of thing has its place below the base."""
        tree = Tree("ou=clumpt,dc=example,dc=org")
        self.assertEqual(tree.entry(layout.PEERS, "a,b"), "cn=a\\,b,ou=peers,ou=clumpt,dc=example,dc=org")
        self.assertEqual(tree.update(7), "clumptSeq=7,ou=updates,ou=clumpt,dc=example,dc=org")

    def test_name_in(self) -> None:
        """The name of an entry is its own part, if it lies right there."""
        tree = Tree("o=clumpt")
        self.assertEqual(tree.name_in(layout.PEERS, "CN=Node1, OU=Peers,o=Clumpt"), "Node1")
        for text in (
            "cn=a,ou=groups,o=clumpt",
            "cn=a,cn=b,ou=peers,o=clumpt",
            "ou=peers,o=clumpt",
            "cn=a,ou=peers,o=other",
            "junk",
        ):
            self.assertRaises(ValueError, tree.name_in, layout.PEERS, text)

    def test_bad_base(self) -> None:
        """A base that cannot be one is refused."""
        self.assertRaises(BadInput, Tree, "clumpt")
