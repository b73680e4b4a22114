"""Reading JSON of strangers."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt.errors import BadDocument
from clumpt.strictjson import DEEPEST, LARGEST, Fields, dumps, loads, reading

LIMIT = 65536
texts = st.text(st.characters(categories=("L", "N", "P", "S")), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-LARGEST, LARGEST) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


class LoadsTests(SynchronousTestCase):
    """L{loads} takes strict JSON, and refuses everything else in one way."""

    def assert_refused(self, raw: bytes, why: str) -> None:
        error = self.assertRaises(BadDocument, loads, raw, LIMIT)
        self.assertIn(why, str(error))

    @given(st.dictionaries(texts, st.lists(values, max_size=3), max_size=4))
    def test_round_trip(self, document: dict[str, Any]) -> None:
        """What L{dumps} wrote says the same again, unless it is nested too deep."""
        try:
            self.assertEqual(loads(dumps(document), LIMIT), document)
        except BadDocument as error:
            self.assertIn("nested", str(error))

    @given(st.binary(max_size=200) | st.text('[]{}",:\\u0123eE.-tfn \n', max_size=60).map(str.encode))
    def test_any_bytes(self, raw: bytes) -> None:
        """Whatever comes, it is a dict or a L{BadDocument}."""
        try:
            self.assertIsInstance(loads(raw, LIMIT), dict)
        except BadDocument as error:
            self.assertTrue(str(error).isprintable())

    def test_oversized(self) -> None:
        """The limit is the last size that is taken, and is checked before anything else."""
        raw = b'{"a":1}'
        self.assertEqual(loads(raw, len(raw)), {"a": 1})
        error = self.assertRaises(BadDocument, loads, b"\xff" * 9, 8)
        self.assertIn("at most 8", str(error))

    def test_deep_nesting(self) -> None:
        """Nesting is bounded, so that the parser cannot run out of stack."""
        for size in (DEEPEST, 200, 60_000):
            for opening in (b"[", b'{"a":'):
                self.assert_refused((b'{"a":' + opening * size)[:LIMIT], "nested")
        deepest = b'{"a":' + b"[" * (DEEPEST - 1) + b"]" * (DEEPEST - 1) + b"}"
        self.assertIn("a", loads(deepest, LIMIT))

    def test_brackets_in_strings(self) -> None:
        """Brackets within strings are not nesting, whatever is escaped around them."""
        text = '"[{' * 9 + "\\"
        self.assertEqual(loads(dumps({"a": text, "b": text}), LIMIT), {"a": text, "b": text})

    def test_wide(self) -> None:
        """Many brackets beside each other are not nesting either."""
        self.assertEqual(loads(dumps({"a": [[]] * 99}), LIMIT), {"a": [[]] * 99})

    def test_escapes_without_end(self) -> None:
        """A string that never ends costs no more than its length."""
        self.assert_refused(b'{"' + b'\\"' * 30_000 + b"[" * 9, "no strict JSON")

    def test_duplicate_keys(self) -> None:
        """No key stands twice, at any depth, however it is spelled."""
        for raw in (b'{"a":1,"a":1}', b'{"b":[{"a":1,"\\u0061":2}]}'):
            self.assert_refused(raw, "twice")

    def test_floats(self) -> None:
        """There are no floats, also none that are whole."""
        for number in (b"1.0", b"1e3", b"-0.5", b"1E400"):
            self.assert_refused(b'{"a":' + number + b"}", "no integer")

    def test_not_a_number(self) -> None:
        """NaN and the infinities are neither read nor written."""
        for number in (b"NaN", b"Infinity", b"-Infinity"):
            self.assert_refused(b'{"a":' + number + b"}", "no integer")
        for value in (float("nan"), float("inf")):
            self.assertRaises(ValueError, dumps, {"a": value})

    def test_huge_integers(self) -> None:
        """Integers stay below 2^53 on both sides, however many digits are sent."""
        for number in (LARGEST + 1, -LARGEST - 1, 10**17, 10**18, 10**4000):
            self.assert_refused(b'{"a":%d}' % number, "2^53")
        self.assert_refused(b'{"a":' + b"9" * 60_000 + b"}", "2^53")
        self.assertEqual(loads(b'{"a":[%d,%d]}' % (LARGEST, -LARGEST), LIMIT), {"a": [LARGEST, -LARGEST]})

    def test_control_characters(self) -> None:
        """No string and no key holds what a terminal or a log would obey, nor half a character."""
        for char in ("\x00", "\n", "\x1b", "\x7f", "\x85", "\u2028", "\u202e", "\ud800"):
            for document in ({"a": char}, {char: 1}, {"a": ["b", {"c": char}]}):
                self.assert_refused(json.dumps(document).encode(), "control character")

    def test_raw_control_characters(self) -> None:
        """They are refused unescaped too."""
        self.assert_refused(b'{"a":"\n"}', "no strict JSON")
        self.assert_refused(b'{"a":"\x7f"}', "control character")

    def test_not_ascii(self) -> None:
        """Only ASCII is taken: no byte order mark, no UTF-8, no UTF-16."""
        for raw in (b'\xef\xbb\xbf{"a":1}', '{"a":"é"}'.encode(), '{"a":1}'.encode("utf-16")):
            self.assert_refused(raw, "no strict JSON")

    def test_no_object(self) -> None:
        """The outermost thing is an object."""
        for raw in (b"", b" ", b"[]", b'"a"', b"1", b"null", b"true"):
            self.assert_refused(raw, "JSON")

    def test_rubbish_behind(self) -> None:
        """Nothing follows the object."""
        self.assert_refused(b'{"a":1}{"a":2}', "no strict JSON")


class FieldsTests(SynchronousTestCase):
    """L{Fields} takes an object apart."""

    def test_each_kind(self) -> None:
        """Every kind of field comes out as itself."""
        fields = Fields(
            "thing",
            {
                "v": 1,
                "i": 3,
                "t": "x",
                "f": True,
                "ts": ["a"],
                "is": [1],
                "o": {"i": 2},
                "os": [{}],
                "n": None,
            },
        )
        fields.version(1)
        self.assertEqual(fields.integer("i"), 3)
        self.assertEqual(fields.text("t"), "x")
        self.assertIs(fields.flag("f"), True)
        self.assertEqual(fields.texts("ts"), ("a",))
        self.assertEqual(fields.integers("is"), (1,))
        self.assertEqual(fields.object("o").integer("i"), 2)
        for one in fields.objects("os"):
            one.end()
        self.assertTrue(fields.absent("n"))
        fields.end()

    def test_wrong_kind(self) -> None:
        """Another type, null and a missing field are all refused; true is no integer."""
        for wrong in (None, True, 1, "x", [], {}, [None], [True, 1], ["x", 1], [{}, []]):
            for method, right in (
                ("integer", int),
                ("text", str),
                ("flag", bool),
                ("object", dict),
                ("texts", None),
                ("integers", None),
                ("objects", None),
            ):
                if type(wrong) is not right and wrong != []:
                    take = getattr(Fields("thing", {"x": wrong}), method)
                    self.assertIn("thing: x", str(self.assertRaises(BadDocument, take, "x")))
                    self.assertRaises(BadDocument, take, "y")

    def test_range(self) -> None:
        """An integer keeps within its bounds, which are inclusive."""
        for value, fits in ((1, False), (2, True), (4, True), (5, False)):
            fields = Fields("thing", {"x": value})
            if fits:
                self.assertEqual(fields.integer("x", 2, 4), value)
            else:
                self.assertRaises(BadDocument, fields.integer, "x", 2, 4)
        self.assertRaises(BadDocument, Fields("thing", {"x": -1}).integer, "x")

    def test_unknown_version(self) -> None:
        """Neither an older nor a newer version is guessed at."""
        for version in (0, 2, True, "1"):
            self.assertRaises(BadDocument, Fields("thing", {"v": version}).version, 1)

    def test_left_over(self) -> None:
        """A field that nobody asked for is refused, and named within bounds."""
        error = self.assertRaises(BadDocument, Fields("thing", {"x" * 999: 1}).end)
        self.assertIn("unknown field 'xxx", str(error))
        self.assertLess(len(str(error)), 99)

    def test_absent(self) -> None:
        """Only null is absent; a field that is missing altogether is not."""
        self.assertFalse(Fields("thing", {}).absent("x"))
        fields = Fields("thing", {"x": False})
        self.assertFalse(fields.absent("x"))
        self.assertRaises(BadDocument, fields.end)

    def test_input_kept(self) -> None:
        """The object that was given stays whole."""
        given_object = {"x": 1}
        Fields("thing", given_object).integer("x")
        self.assertEqual(given_object, {"x": 1})

    def test_reading(self) -> None:
        """What a value's own checks say becomes L{BadDocument}, short and printable."""
        for error in (ValueError("no\n" * 999), TypeError("no\x1b"), ValueError()):
            with self.assertRaises(BadDocument) as caught, reading("thing"):
                raise error
            text = str(caught.exception)
            self.assertTrue(text.startswith("thing: ") and text.isprintable() and len(text) < 220, text)
