"""What values mean, what entries may hold, and which filters match."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt.ldap.embedded import entries, filters
from clumpt.ldap.embedded.filters import And, AtLeast, AtMost, Equal, Filter, Not, Or, Present
from clumpt.ldap.embedded.index import Index
from clumpt.ldap.embedded.matching import Matching
from clumpt.ldap.embedded.requests import Change
from clumpt.ldap.embedded.results import Code, Refused
from clumpt.ldap.embedded.search import Finder
from tests.acl_matrix import PEOPLED
from tests.embedded_case import BASE, SCHEMA, new_store

MATCHING = Matching(SCHEMA)


class RefusedCase(SynchronousTestCase):
    """Tests of what is refused."""

    def refused(self, code: Code, call: Any, *args: Any) -> None:
        error = self.assertRaises(Refused, call, *args)
        self.assertEqual(error.code, code)


class ValueTests(RefusedCase):
    """L{Matching.key}."""

    def same(self, name: str, *values: bytes) -> None:
        self.assertEqual(len({MATCHING.key(MATCHING.kind(name), value) for value in values}), 1, values)

    def differ(self, name: str, *values: bytes) -> None:
        keys = {MATCHING.key(MATCHING.kind(name), value) for value in values}
        self.assertEqual(len(keys), len(values), values)

    def test_text(self) -> None:
        """Case and spaces do not count where the schema says so; accents always do."""
        self.same("cn", b"a  B", b" A b ", "ａ b".encode())
        self.differ("cn", b"a b", b"ab", "ä b".encode())
        self.same("clumptPackage", b"a  b", b" a b")
        self.differ("clumptPackage", b"a b", b"A b")

    def test_numbers(self) -> None:
        """Numbers are ordered as numbers, of any size."""
        kind = MATCHING.kind("clumptSeq")
        values = [b"-5", b"0", b"9", b"10", b"9223372036854775808"]
        keys = [MATCHING.key(kind, value) for value in values]
        self.assertEqual(keys, sorted(keys))

    def test_times(self) -> None:
        """Times are ordered as times, wherever their clocks stand."""
        self.same(
            "clumptIssued", b"20240101120000Z", b"2024010112Z", b"202401011300+01", b"20240101120000.00Z"
        )
        kind = MATCHING.kind("clumptIssued")
        values = [b"20240101115959.9Z", b"20240101120000Z", b"20240101120000.25Z", b"20240101120000.5Z"]
        keys = [MATCHING.key(kind, value) for value in values]
        self.assertEqual(keys, sorted(keys))

    def test_malformed(self) -> None:
        """What a syntax does not allow is refused."""
        for name, value in (
            ("clumptSeq", b"01"),
            ("clumptSeq", b""),
            ("clumptSeq", b"1" * 5000),
            ("cn", b""),
            ("cn", b"\xff"),
            ("clumptInterval", "ü".encode()),
            ("clumptIssued", b"20241301000000Z"),
            ("clumptIssued", b"20240101000000"),
            ("clumptIssued", b"00000101000000Z"),
            ("clumptIssued", b"99991231235959-0100"),
            ("member", b"no name"),
            ("member", b"cn=" + b"x" * 2000),
            ("objectClass", b"nothing"),
        ):
            self.refused(Code.BAD_SYNTAX, MATCHING.key, MATCHING.kind(name), value)
        self.refused(Code.UNDEFINED_TYPE, MATCHING.kind, "bogus")

    def test_names(self) -> None:
        """A name is the same however it is written."""
        same = {
            MATCHING.name(name)
            for name in (b"cn=A\\, b,o=x", b" CN = a\\2C  B , O=X", b"commonName=a\\,\\20b,o=x")
        }
        self.assertEqual(same, {("cn=a, b", "o=x")})
        self.assertEqual(MATCHING.name(b" "), ())
        for name in (
            b"cn",
            b"cn=a,",
            b"=a",
            b"bogus=a",
            b"cn=a+cn=b",
            b"cn=\xff",
            b"clumptSeq=x",
            b"cn=",
            b"cn=a\\",
        ):
            self.refused(Code.BAD_NAME, MATCHING.name, name)

    @given(st.binary(max_size=40))
    def test_any_bytes(self, value: bytes) -> None:
        """Any bytes are taken or refused, and what is taken means the same again."""
        for name in (
            "cn",
            "clumptPackage",
            "clumptIssued",
            "clumptSeq",
            "member",
            "clumptEnvelope",
            "objectClass",
        ):
            kind = MATCHING.kind(name)
            try:
                self.assertEqual(MATCHING.key(kind, value), MATCHING.key(kind, value))
            except Refused as refused:
                self.assertEqual(refused.code, Code.BAD_SYNTAX)


def attributes(**given: list[str]) -> entries.Attributes:
    return entries.build(MATCHING, ((name.encode(), [v.encode() for v in vs]) for name, vs in given.items()))


def shown(some: entries.Attributes) -> dict[str, list[bytes]]:
    return {one.kind.name: list(one.values.values()) for one in some.values()}


class ChangeTests(RefusedCase):
    """Changes of attributes; the answers to each kind are compared with OpenLDAP's in tests/live."""

    before = attributes(cn=["a"], clumptSize=["5"], member=["cn=x"])

    def change(self, *changes: tuple[int, str, list[bytes]]) -> dict[str, list[bytes]]:
        made = [Change(kind, name.encode(), tuple(values)) for kind, name, values in changes]
        return shown(entries.changed(self.before, entries.prepared(MATCHING, made)))

    def test_all_or_nothing(self) -> None:
        """If one of several changes cannot be made, the entry is as it was."""
        self.refused(
            Code.NO_SUCH_ATTRIBUTE, self.change, (2, "clumptSize", [b"9"]), (1, "description", [b"missing"])
        )
        self.assertEqual(shown(self.before)["clumptSize"], [b"5"])

    def test_compare_and_set(self) -> None:
        """Deleting the value that one knows, and adding another, is a change that only one can make."""
        self.assertEqual(
            self.change((1, "clumptSize", [b"5"]), (0, "clumptSize", [b"6"]))["clumptSize"], [b"6"]
        )
        self.refused(
            Code.NO_SUCH_ATTRIBUTE, self.change, (1, "clumptSize", [b"4"]), (0, "clumptSize", [b"6"])
        )

    def test_increment(self) -> None:
        """A number is counted up or down."""
        self.assertEqual(self.change((3, "clumptSize", [b"-7"]))["clumptSize"], [b"-2"])

    def test_last_value(self) -> None:
        """An attribute without values is no attribute."""
        self.assertNotIn("member", self.change((1, "member", [b"CN=X"])))

    @given(st.lists(st.tuples(st.sampled_from("abcDEF"), st.sampled_from(["cn", "description", "member"]))))
    def test_difference(self, wanted: list[tuple[str, str]]) -> None:
        """What is gone and what has come leads from what was to what is."""
        given: dict[str, list[str]] = {}
        for value, name in wanted:
            values = given.setdefault(name, [])
            text = f"cn={value}" if name == "member" else value
            if text.lower() not in map(str.lower, values):
                values.append(text)
        after = attributes(**given)
        gone, come = (
            entries.build(MATCHING, ((n.encode(), vs) for n, vs in entries.difference(one, other).items()))
            for one, other in ((self.before, after), (after, self.before))
        )
        again = shown(entries.replayed(self.before, gone, come))
        self.assertEqual(
            {name: sorted(values) for name, values in again.items()},
            {name: sorted(values) for name, values in shown(after).items()},
        )


_digit = st.integers(0, 9)


class IndexTests(SynchronousTestCase):
    """L{Index}."""

    @given(st.lists(st.tuples(_digit, st.integers(0, 5), st.booleans())), _digit, _digit)
    def test_like_a_scan(self, steps: list[tuple[int, int, bool]], low: int, high: int) -> None:
        """Whatever came and went, the index finds what looking at everything finds."""
        index, known = Index(), dict[tuple[str, ...], set[int]]()
        for value, number, add in steps:
            name = (f"cn={number}",)
            values = known.setdefault(name, set())
            if add:
                index.add([value], name)
                values.add(value)
            elif value in values:
                index.remove([value], name)
                values.remove(value)
        self.assertEqual(set(index.equal(low)), {name for name, values in known.items() if low in values})
        within = {name for name, values in known.items() if any(low <= value <= high for value in values)}
        self.assertEqual(set(index.within(index.span(low, high))), within)
        self.assertEqual(
            set(index.within(index.span(None, None))), {n for n, values in known.items() if values}
        )


_values = st.sampled_from([b"1", b"2", b"3", b"x"])
_simple: st.SearchStrategy[Filter] = st.one_of(
    st.builds(
        Equal, st.sampled_from(["clumptseq", "cn", "bogus"]), st.sampled_from([b"1", b"2", b"3", b"x"])
    ),
    st.builds(AtLeast, st.just("clumptseq"), st.sampled_from([b"1", b"2", b"3", b"x"])),
    st.builds(AtMost, st.just("clumptseq"), st.sampled_from([b"1", b"2", b"3"])),
    st.builds(Present, st.sampled_from(["objectclass", "clumptseq", "bogus"])),
)
_filters: st.SearchStrategy[Filter] = st.recursive(
    _simple,
    lambda parts: st.one_of(
        st.builds(Not, parts),
        st.builds(And, st.lists(parts, max_size=3).map(tuple)),
        st.builds(Or, st.lists(parts, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)


def _updates() -> Any:
    for seq in (3, 1, 2):
        values = {
            "objectClass": [b"clumptUpdate"],
            "clumptSeq": [b"%d" % seq],
            "clumptSubmitId": [b"s%d" % seq],
            "clumptEnvelope": [b"{}"],
        }
        yield f"clumptSeq={seq},ou=updates,{BASE}", values


class SearchTests(SynchronousTestCase):
    """L{Finder}."""

    store = new_store((*PEOPLED[:2], *_updates()))

    @given(_filters, st.sampled_from(["", "ou=updates,", "ou=status,"]), st.integers(0, 2))
    def test_indexes_change_nothing(self, filter: Filter, branch: str, scope: int) -> None:
        """With indexes exactly that is found which looking at everything finds, in the order of adding."""
        finder = Finder(self.store, False)
        name = self.store.matching.name((branch + BASE).encode())
        found = [e.text for e in finder.candidates(name, scope, filter) if finder.matches(filter, e)]
        everything = sorted(self.store.scope(name, scope), key=lambda entry: entry.number)
        self.assertEqual(found, [entry.text for entry in everything if finder.matches(filter, entry)])

    def test_range_is_narrow(self) -> None:
        """A range of seqs looks at the entries in the range alone (H5)."""
        finder = Finder(self.store, False)
        wanted = And((AtLeast("clumptseq", b"2"), AtMost("clumptseq", b"2")))
        found = finder.candidates(self.store.matching.name(b"ou=updates,o=clumpt"), 1, wanted)
        self.assertEqual([entry.text for entry in found], [f"clumptSeq=2,ou=updates,{BASE}"])

    @given(_filters)
    def test_contrary(self, filter: Filter) -> None:
        """No entry matches a filter and its negation, and twice negated is as it was."""
        finder = Finder(self.store, False)
        for entry in self.store.scope(self.store.top, 2):
            one, other = finder.matches(filter, entry), finder.matches(Not(filter), entry)
            self.assertFalse(one and other)
            self.assertEqual(one, finder.matches(Not(Not(filter)), entry))

    def test_size(self) -> None:
        """Every part of a filter counts."""
        self.assertEqual(filters.size(And((Not(Present("a")), Or(()), Present("b")))), 5)
