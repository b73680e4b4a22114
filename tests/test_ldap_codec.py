"""Our values as LDAP entries."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt.idset import IdSet
from clumpt.ldap import codec, schema
from clumpt.ldap.requests import Attributes
from clumpt.ldap.wire import Found
from clumpt.model import (
    Address,
    Failure,
    Group,
    GroupName,
    Peer,
    PeerName,
    PeerStatus,
    Settings,
    State,
)
from clumpt.testing.contracts.directory import ODD, an_entry

#: What a DirectoryString can carry and we let through.
TEXT = st.text(st.characters(exclude_categories=["Cs"]).filter(str.isprintable))
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
NUMBERS = st.integers(0, 2**53)
SECONDS = st.integers(0, 253_402_300_799)


def found(attributes: Attributes, **changes: Any) -> Found:
    """The entry as a server returns it: in lower case here, and without the empty ones."""
    there = {kind.lower(): list(values) for kind, values in attributes.items() if values}
    there.update(changes)
    return Found("cn=x,o=clumpt", {kind: values for kind, values in there.items() if values is not None})


class RoundTripTests(SynchronousTestCase):
    """What is written is read."""

    @given(st.builds(Settings, NAMES, st.integers(1), st.integers(2), st.integers(1), st.floats(1, 1e9)))
    def test_settings(self, settings: Settings) -> None:
        """Settings come back, fractions of seconds too."""
        self.assertEqual(codec.read_settings(found(codec.settings_attributes(settings))), settings)

    @given(st.builds(Group, NAMES, TEXT, st.frozensets(NAMES), st.frozensets(NAMES), st.frozensets(NAMES)))
    def test_group(self, group: Group) -> None:
        """Groups come back."""
        self.assertEqual(codec.read_group(found(codec.group_attributes(group)), group.name), group)

    @given(
        st.builds(
            Peer,
            name=NAMES,
            addresses=st.lists(
                st.builds(Address, st.sampled_from(["::1", "a.b", "10.0.0.1"]), *[st.integers(1, 65535)] * 2),
                unique=True,
            ).map(tuple),
            groups=st.frozensets(NAMES.map(GroupName)),
            member=st.binary(),
            neighbours=st.lists(NAMES.map(PeerName), max_size=15).map(tuple),
            overrides=st.dictionaries(NAMES, TEXT).map(lambda given: tuple(sorted(given.items()))),
            arch=NAMES,
            rack=TEXT,
        )
    )
    def test_peer(self, peer: Peer) -> None:
        """Peers come back, their neighbours in order though LDAP keeps none."""
        attributes = found(codec.peer_attributes(peer)).attributes
        attributes.get("clumptneighbour", []).sort()
        back = codec.read_peer(Found("", attributes), peer.name, peer.groups)
        self.assertEqual(back, peer)

    @given(
        st.builds(
            PeerStatus,
            peer=NAMES,
            head=NUMBERS,
            settled=NUMBERS,
            above=st.sets(st.integers(1, 99)).map(lambda ids: str(IdSet.of(ids))),
            failures=st.lists(
                st.builds(
                    Failure,
                    st.integers(1, 2**53),
                    st.sampled_from([State.FAILED, State.HELD]),
                    st.none() | st.integers(-64, 255),
                    SECONDS,
                    TEXT,
                ),
                unique_by=lambda failure: failure.seq,
            ).map(lambda all: tuple(sorted(all, key=lambda failure: (failure.at, failure.seq)))),
            state=st.sampled_from(["active", "isolated", "stopped"]),
            reason=TEXT,
            seen=SECONDS,
            version=TEXT,
        )
    )
    def test_status(self, status: PeerStatus) -> None:
        """Statuses come back."""
        entry = found(codec.status_attributes(status))
        self.assertTrue(codec.reported(entry))
        self.assertEqual(codec.read_status(entry, status.peer), status)

    def test_update(self) -> None:
        """The seq and the envelope of an update come back; the copies beside it are for searching."""
        entry = an_entry(7, "mine", why=ODD)
        attributes = codec.update_attributes(entry)
        back = found(attributes)
        self.assertEqual(codec.read_update(back), (7, entry.envelope))
        self.assertEqual(codec.read_seq(back), 7)
        self.assertEqual(codec.read_submit_id(back), "mine")
        self.assertEqual(attributes["clumptTarget"], [b"all", b"web.front-1"])
        self.assertEqual(attributes["clumptPackage"], [b"hello 2.10-3+b1 amd64"])
        self.assertEqual(attributes["clumptIssued"], [b"20231114221327Z"])
        self.assertEqual(attributes["description"], [ODD.encode()])


class TextTests(SynchronousTestCase):
    """What LDAP cannot carry."""

    def test_control_characters(self) -> None:
        """Control characters become spaces: they could only confuse who reads the directory."""
        attributes = codec.group_attributes(Group(GroupName("g"), "a\nb\x1b[0m\0"))
        self.assertEqual(attributes["description"], [b"a b [0m "])

    def test_nothing_twice(self) -> None:
        """A value that is given twice is written once, as LDAP knows only sets."""
        peer = Peer(PeerName("p"), (Address("a", 1, 2),) * 2, frozenset(), b"")
        self.assertEqual(codec.peer_attributes(peer)["clumptAddress"], [b"a:1:2"])

    def test_endless_time(self) -> None:
        """A time that the calendar does not have is the last one that it has."""
        status = PeerStatus(PeerName("p"), seen=2**53)
        self.assertEqual(codec.status_attributes(status)["clumptLastSeen"], [b"99991231235959Z"])


class MalformedTests(SynchronousTestCase):
    """Entries that are not of our making."""

    def refused(self, read: Any, entry: Found, *words: Any) -> None:
        self.assertRaises(ValueError, read, entry, *words)

    def test_settings(self) -> None:
        """Settings that lack something, or are from a newer program, are refused."""
        attributes = codec.settings_attributes(Settings("id"))
        for kind in codec.SETTINGS:
            self.refused(codec.read_settings, found(attributes, **{kind.lower(): None}))
        newer = found(attributes, clumptschemaversion=[b"%d" % (schema.VERSION + 1)])
        self.refused(codec.read_settings, newer)
        self.refused(codec.read_settings, found(attributes, clumptknownby=[b"1"]))
        self.refused(codec.read_settings, found(attributes, clumptneighbours=[b"1", b"2"]))

    def test_peer(self) -> None:
        """So are peers with addresses, neighbours or settings that are none."""
        peer = Peer(PeerName("p"), (), frozenset(), b"x")
        attributes = codec.peer_attributes(peer)
        for kind, value in [
            ("clumptaddress", b"nowhere"),
            ("clumptaddress", b"a:0:1"),
            ("clumptaddress", b"\xff:1:1"),
            ("clumptneighbour", b"node1"),
            ("clumptoverride", b"interval"),
        ]:
            self.refused(codec.read_peer, found(attributes, **{kind: [value]}), "p", frozenset())
        self.refused(codec.read_peer, found(attributes), "not a name", frozenset())

    def test_status(self) -> None:
        """So are statuses with odd numbers, ranges, failures or times."""
        attributes = codec.status_attributes(PeerStatus(PeerName("p")))
        for kind, value in [
            ("clumpthead", b"x"),
            ("clumptdone", b"3-1"),
            ("clumptfailed", b"1 failed"),
            ("clumptfailed", b"1 exploded - 3 x"),
            ("clumptlastseen", b"yesterday"),
            ("clumptsource", b"1 2 3 4 5 6 7 -"),
            ("clumptsource", b"0" * 64),
            ("clumptsource", b"0" * 64 + b" 1 2 3 4 5 -6 -"),
            ("clumptsource", b"0" * 64 + b" 1 2 3 4 5 6 ../x"),
            ("clumptlastseen", b"20231399221327Z"),
        ]:
            self.refused(codec.read_status, found(attributes, **{kind: [value]}), "p")
        self.assertFalse(codec.reported(found(attributes, clumptlastseen=None)))

    def test_update(self) -> None:
        """So are updates without a seq or an envelope."""
        attributes = codec.update_attributes(evolve(an_entry(1)))
        self.refused(codec.read_update, found(attributes, clumptseq=None))
        self.refused(codec.read_update, found(attributes, clumptenvelope=None))
