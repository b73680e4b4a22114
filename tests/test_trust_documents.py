"""The payloads that are signed."""

import json
from collections.abc import Callable
from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt.errors import BadDocument
from clumpt.model import GroupName, Member, Package, Update
from clumpt.pieces import LARGEST, MOST, SMALLEST, Pieces, digest_of
from clumpt.testing import strategies
from clumpt.testing.keys import Deployment, signer
from clumpt.trust.documents import (
    decode_member,
    decode_root,
    decode_update,
    encode_member,
    encode_root,
    encode_update,
)
from clumpt.trust.root import Key, Root, Submitter

HELLO = Package(
    "hello", "2.10-3", "amd64", "hello.deb", digest_of(b"h"), Pieces(5, SMALLEST, digest_of(b"p"))
)
UPDATE = evolve(
    Deployment().update(
        packages=(HELLO,), argv=("a",), targets=("b",), nodes=frozenset(["c"]), requires=(5,)
    ),
    seq=7,
)
ROOT = Deployment().root(revoked=frozenset([digest_of(b"lost")]), ca=frozenset([digest_of(b"ca")]))


class RoundTripTests(SynchronousTestCase):
    """What was written is read as the same, and always written alike."""

    @given(strategies.updates())
    def test_update(self, update: Update) -> None:
        """Any update."""
        payload = encode_update(update)
        self.assertEqual(decode_update(payload), update)
        self.assertEqual(encode_update(decode_update(payload)), payload)

    @given(strategies.members())
    def test_member(self, member: Member) -> None:
        """Any membership."""
        self.assertEqual(decode_member(encode_member(member)), member)

    @given(
        st.none() | st.frozensets(strategies.groups, max_size=3),
        st.none() | st.frozensets(strategies.names, max_size=3),
        st.booleans(),
        strategies.numbers,
        st.integers(1, 3),
        strategies.texts,
    )
    def test_root(
        self,
        groups: frozenset[GroupName] | None,
        installers: frozenset[str] | None,
        command: bool,
        max_seq: int,
        threshold: int,
        label: str,
    ) -> None:
        """Any root document."""
        keys = tuple(signer(str(number)).public(label) for number in range(4))
        keyids = frozenset(key.keyid for key in keys[:3])
        submitter = Submitter(keys[3].keyid, groups, installers, command, max_seq)
        root = Root(2, "d", keys, keyids, (submitter,), keyids, 7, threshold)
        self.assertEqual(decode_root(encode_root(root)), root)


class StrictTests(SynchronousTestCase):
    """Anything but exactly the fields of a document is refused."""

    def each(self) -> list[tuple[dict[str, Any], Callable[[bytes], object]]]:
        member = decode_member(encode_member(Member("d", "p", 1, digest_of(b""), frozenset(), 1)))
        return [
            (json.loads(encode_update(UPDATE)), decode_update),
            (json.loads(encode_member(member)), decode_member),
            (json.loads(encode_root(ROOT)), decode_root),
        ]

    def assert_refused(self, decode: Callable[[bytes], object], document: Any) -> None:
        with self.assertRaises(BadDocument):
            decode(json.dumps(document).encode())

    def test_fields(self) -> None:
        """No field may be missing, of another type, or added, at any depth."""
        wrong_values = (None, -1, True, 1.5, "\x1b[2J", "", "../x", [None], [[]], {}, {"a": 1}, 2**53)
        for document, decode in self.each():
            for path in _paths(document):
                for wrong in wrong_values:
                    changed = _changed(document, path, lambda _, wrong=wrong: wrong)
                    if not _may_stand(wrong, path):
                        self.assert_refused(decode, changed)
                self.assert_refused(decode, _without(document, path))
            for path in [(), *_paths(document)]:
                if isinstance(_at(document, path), dict):
                    self.assert_refused(decode, _changed(document, path, lambda old: {**old, "extra": 1}))

    def test_set_holds_twice(self) -> None:
        """A set is a set."""
        document, decode = self.each()[0]
        for name in ("groups", "nodes", "exclude"):
            self.assert_refused(decode, {**document, name: ["a", "a"]})

    def test_unknown_version(self) -> None:
        """What a later version means is not guessed."""
        for document, decode in self.each():
            for version in (0, 2, "1"):
                self.assert_refused(decode, {**document, "v": version})

    def test_names(self) -> None:
        """No word can leave its place: in a path, on a command line, in a directory (H2)."""
        document, decode = self.each()[0]
        package = document["packages"][0]
        for word in ("", "-oDpkg::Pre-Invoke=x", "../x", "a/b", ".x", "a b", "a\\b", "x" * 201, "a\u00e9"):
            for name in ("name", "version", "arch", "file"):
                self.assert_refused(decode, {**document, "packages": [{**package, name: word}]})
            self.assert_refused(decode, {**document, "installer": word})
            self.assert_refused(decode, {**document, "groups": [word]})
            self.assert_refused(decode, {**document, "targets": [word]})

    def test_references(self) -> None:
        """An update speaks only of updates before it."""
        document, decode = self.each()[0]
        for seq in (UPDATE.seq, UPDATE.seq + 1):
            for changed in ({"requires": [1, seq]}, {"withdraws": [seq]}, {"retries": seq}):
                self.assert_refused(decode, {**document, **changed})

    def test_pieces(self) -> None:
        """Pieces are neither too many nor of a size out of bounds, and their digest is one."""
        document, decode = self.each()[0]
        package = document["packages"][0]
        for changed in (
            {"size": SMALLEST * MOST + 1},
            {"pieces": {"size": SMALLEST - 1, "sha256": package["sha256"]}},
            {"pieces": {"size": LARGEST + 1, "sha256": package["sha256"]}},
            {"pieces": {"size": SMALLEST, "sha256": "x"}},
        ):
            self.assert_refused(decode, {**document, "packages": [{**package, **changed}]})

    def test_root_sense(self) -> None:
        """A root document that contradicts itself is refused."""
        document, decode = self.each()[2]
        root_key, submit_key = document["keys"]
        for changed in (
            {"threshold": 2},
            {"threshold": 0},
            {"quorum": 0},
            {"version": 0},
            {"root_keys": []},
            {"root_keys": [digest_of(b"nobody")]},
            {"enrollers": [digest_of(b"nobody")]},
            {"submitters": [{**document["submitters"][0], "keyid": digest_of(b"nobody")}]},
            {"submitters": document["submitters"] * 2},
            {"keys": document["keys"] * 2},
            {"keys": [{**root_key, "public": root_key["public"].upper()}, submit_key]},
            {"keys": [{**root_key, "public": " " + root_key["public"]}, submit_key]},
            {"keys": [{**root_key, "public": "ab" * 33}, submit_key]},
        ):
            self.assert_refused(decode, {**document, **changed})

    def test_key_of_another_length(self) -> None:
        """A public key has 32 bytes."""
        self.assertRaises(ValueError, Key, b"x" * 31)


Path = tuple[str | int, ...]


def _paths(value: Any, before: Path = ()) -> list[Path]:
    """The way to everything within C{value}."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way for key, one in inner for way in [(*before, key), *_paths(one, (*before, key))]]


def _at(document: Any, path: Path) -> Any:
    for step in path:
        document = document[step]
    return document


def _changed(document: Any, path: Path, change: Callable[[Any], Any]) -> Any:
    if not path:
        return change(document)
    copy = json.loads(json.dumps(document))
    _at(copy, path[:-1])[path[-1]] = change(_at(copy, path))
    return copy


def _without(document: Any, path: Path) -> Any:
    """C{document} without one field, or with null in the place of one list member."""
    if isinstance(path[-1], int):
        return _changed(document, path, lambda _: None)
    return _changed(document, path[:-1], lambda old: {key: old[key] for key in old if key != path[-1]})


def _may_stand(wrong: Any, path: Path) -> bool:
    """Is C{wrong} a value that may be at the end of C{path}?"""
    if wrong is None:
        return path[0] == "submitters" and path[-1] in ("groups", "installers")
    if wrong is True:
        return path[-1] == "command"
    free_text = path[-1] in ("label", "why") or path[0] == "argv"
    return isinstance(wrong, str) and wrong.isprintable() and free_text
