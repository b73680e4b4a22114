"""The schema file and its reader."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt.errors import BadDocument
from clumpt.ldap import schema

NUMBER = "1.3.6.1.4.1.1466.115.121.1.27"


class ShippedTests(SynchronousTestCase):
    """The schema that is shipped."""

    def setUp(self) -> None:
        self.schema = schema.load()

    def test_attribute(self) -> None:
        """An attribute knows how its values are compared (H5: numbers as numbers)."""
        seq = self.schema.attributes["clumptseq"]
        self.assertEqual((seq.name, seq.syntax, seq.single), ("clumptSeq", NUMBER, True))
        self.assertEqual((seq.equality, seq.ordering), ("integerMatch", "integerOrderingMatch"))
        self.assertFalse(self.schema.attributes["member"].single)

    def test_every_name(self) -> None:
        """An attribute is found by each of its names."""
        self.assertIs(self.schema.attributes["commonname"], self.schema.attributes["cn"])

    def test_class(self) -> None:
        """A class says what its entries must and may hold."""
        update = self.schema.classes["clumptupdate"]
        self.assertEqual(update.must, {"clumptseq", "clumptsubmitid", "clumptenvelope"})
        self.assertIn("clumptpackage", update.may)
        self.assertTrue(update.structural)
        self.assertFalse(self.schema.classes["simplesecurityobject"].structural)

    def test_closed(self) -> None:
        """Classes name only attributes that are defined."""
        for made in self.schema.classes.values():
            self.assertLessEqual(made.must | made.may, self.schema.attributes.keys())
            self.assertIn(made.superior.lower(), self.schema.classes)

    def test_oids(self) -> None:
        """No OID is used twice, and ours lie below a UUID that needs no registration."""
        kinds = {kind.oid for kind in self.schema.attributes.values()}
        made = [one.oid for one in self.schema.classes.values()]
        self.assertEqual(len(kinds), len({kind.name for kind in self.schema.attributes.values()}))
        self.assertEqual(len({*kinds, *made}), len(kinds) + len(made))
        self.assertTrue(self.schema.attributes["clumptseq"].oid.startswith("2.25."))


class StrictTests(SynchronousTestCase):
    """What is not understood is refused, with its line."""

    def refused(self, source: str, *words: str) -> None:
        with self.assertRaises(BadDocument) as caught:
            schema.parse(source)
        for word in words:
            self.assertIn(word, str(caught.exception))

    def test_line(self) -> None:
        """The message names the line where the statement begins."""
        self.refused(
            "# a comment\n\nattributetype ( 1.2 NAME 'x'\n  COLOUR red SYNTAX 1.2 )", "line 3", "COLOUR"
        )

    def test_mistakes(self) -> None:
        """Each of these is a mistake that would otherwise mean something else."""
        for source in (
            "attribute ( 1.2 NAME 'x' SYNTAX 1.2 )",
            "attributetype ( 1.2 SYNTAX 1.2 )",
            "attributetype ( 1.2 NAME 'x' )",
            "attributetype ( 1.2 NAME 'x' SYNTAX 1.2",
            "attributetype ( 1.2 NAME 'x' NAME 'y' SYNTAX 1.2 )",
            "attributetype ( 1.2 NAME 'x y' SYNTAX 1.2 )",
            "attributetype ( Unknown:2 NAME 'x' SYNTAX 1.2 )",
            "attributetype ( 1.2 NAME 'x' SYNTAX 1.2 EQUALITY )",
            "attributetype ( 1.2 NAME ( 'x' SYNTAX 1.2 )",
            "attributetype ( 1.2 NAME 'x SYNTAX 1.2 )",
            "objectclass ( 1.2 NAME 'x' )",
            "objectclass ( 1.2 NAME 'x' STRUCTURAL AUXILIARY )",
            "objectidentifier A",
            "( 1.2",
        ):
            self.refused(source, "line 1")

    @given(st.text(alphabet="()$' \nabNAMESYTX1.2:#", max_size=60))
    def test_any_text(self, source: str) -> None:
        """Whatever the text, it is read or refused, never anything else."""
        with contextlib.suppress(BadDocument):
            schema.parse("attributetype " + source)
