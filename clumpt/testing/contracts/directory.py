"""What every directory must do: in memory, embedded, or OpenLDAP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve
from twisted.internet.defer import Deferred, DeferredList, gatherResults, succeed

from clumpt.aio import deferred
from clumpt.errors import (
    BadInput,
    Conflict,
    DirectoryRefused,
    DirectoryUnavailable,
    IdentityError,
    SequenceTaken,
)
from clumpt.idset import IdSet
from clumpt.interfaces import IDirectory
from clumpt.model import (
    Action,
    Address,
    Entry,
    Failure,
    Group,
    GroupName,
    Package,
    Peer,
    PeerName,
    PeerStatus,
    Settings,
    State,
    Update,
)
from clumpt.pieces import SMALLEST, Pieces, digest_of
from clumpt.provenance import MOST_TOLD, Provenance

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Tests
else:
    # Trial would run the contract by itself, were it a TestCase.
    _Tests = object

#: What a directory under test is set up with.
SETTINGS = Settings("5e2c3a1e-0001-4000-8000-000000000000", 5, 2, 20, 300.0)

#: Text that would be syntax in filters, names and entries, were it ever pasted into them.
ODD = '  *)(cn=*\\,"=#;<>+ \u00fc\u4e2d\U0001f600 \\2a end, '

ALL = GroupName("all")
WEB = GroupName("web.front-1")
DATA = GroupName("data")


def an_entry(seq: int, submit_id: str = "", **changes: Any) -> Entry:
    """An entry as it might be for C{seq}; its envelope is no real one, which a directory does not mind."""
    package = Package("hello", "2.10-3+b1", "amd64", "hello_2.10-3.deb", digest_of(b"hello"), PIECES)
    update = Update(
        deployment=SETTINGS.deployment,
        seq=seq,
        prev=digest_of(b"%d" % (seq - 1)),
        submit_id=submit_id or f"submission-{seq}",
        issued=1_700_000_000 + seq,
        groups=frozenset({ALL, WEB}),
        action=Action.INSTALL,
        installer="dpkg",
        packages=(package,),
    )
    update = evolve(update, **changes)
    envelope = f"{update.submit_id} {seq}".encode() + bytes(range(256))
    return Entry(update, envelope, digest_of(envelope))


PIECES = Pieces(5, SMALLEST, digest_of(b"pieces"))


def a_peer(name: str, *groups: GroupName, **more: Any) -> Peer:
    """A peer that belongs to C{groups}."""
    addresses = (Address(f"{name}.example.org", 7500, 7501),)
    return Peer(PeerName(name), addresses, frozenset(groups), b"member " + name.encode(), **more)


class DirectoryContract(_Tests):
    """
    The contract of L{IDirectory}, to be mixed into a trial C{TestCase}.

    What its hooks and the directory return may fire at once or later.
    """

    #: What L{make_directory} sets the directory up with.
    settings = SETTINGS
    #: More peers and updates than any server or client takes in one go.
    many = 1200

    def make_directory(self) -> Deferred[IDirectory]:
        """The administrators' view of a new directory that holds L{settings} and nothing else."""
        raise NotImplementedError

    def peer_view(self, directory: IDirectory, name: PeerName) -> Deferred[IDirectory]:
        """What the peer C{name}, which is in C{directory}, can do there."""
        raise NotImplementedError

    def other_view(self, directory: IDirectory) -> Deferred[IDirectory]:
        """A second connection of somebody who may submit; by default the same."""
        return succeed(directory)

    async def _fresh(self, *groups: GroupName) -> IDirectory:
        directory = await self.make_directory()
        self.addCleanup(lambda: directory.close())
        for group in groups:
            await directory.put_group(Group(group))
        return directory

    async def _as_peer(self, directory: IDirectory, name: str) -> IDirectory:
        view = await self.peer_view(directory, PeerName(name))
        self.addCleanup(lambda: view.close())
        return view

    async def _fails(self, waiting: Deferred[Any], *kinds: type[Exception]) -> Exception:
        failure: Exception = await self.assertFailure(waiting, *kinds)
        return failure

    # Settings and roots.

    @deferred
    async def test_settings(self) -> None:
        """The settings are what they were set to, all of them."""
        directory = await self._fresh()
        self.assertEqual(await directory.settings(), self.settings)
        changed = evolve(self.settings, neighbours=7, known_by=3, initial=45, interval=12.5)
        await directory.change_settings(changed)
        self.assertEqual(await directory.settings(), changed)

    @deferred
    async def test_deployment_stays(self) -> None:
        """The deployment id cannot change."""
        directory = await self._fresh()
        await self._fails(directory.change_settings(evolve(self.settings, deployment="other")), IdentityError)
        self.assertEqual(await directory.settings(), self.settings)

    @deferred
    async def test_roots(self) -> None:
        """Root documents come back whole and by version, and none takes the place of another."""
        directory = await self._fresh()
        self.assertEqual(await directory.root_documents(), [])
        envelopes = [bytes(range(256)) + b"%d" % version for version in range(1, 12)]
        for version, envelope in enumerate(envelopes, 1):
            await directory.add_root(version, envelope)
        await self._fails(directory.add_root(3, b"another"), Conflict)
        await self._fails(directory.add_root(1, envelopes[0]), Conflict)
        self.assertEqual(await directory.root_documents(), envelopes)

    # Groups.

    @deferred
    async def test_groups(self) -> None:
        """Groups come back by name, with everything that was said of them."""
        directory = await self._fresh()
        self.assertEqual(await directory.groups(), [])
        web = Group(
            WEB, ODD, frozenset({"dpkg", "apt"}), frozenset({"lib*", "g++"}), frozenset({"lib[0-9]*", "*~"})
        )
        data = Group(DATA)
        await directory.put_group(web)
        await directory.put_group(data)
        self.assertEqual(await directory.groups(), [data, web])

    @deferred
    async def test_replacing_a_group_keeps_its_members(self) -> None:
        """A group gets its new description and policy, nothing is left of the old ones, its members stay."""
        directory = await self._fresh()
        await directory.put_group(
            Group(WEB, "old", frozenset({"dpkg"}), frozenset({"lib*"}), frozenset({"lib1"}))
        )
        peer = a_peer("node1", WEB)
        await directory.put_peer(peer)
        await directory.put_group(Group(WEB, "new"))
        self.assertEqual(await directory.groups(), [Group(WEB, "new")])
        self.assertEqual(await directory.peers([WEB]), [peer])
        await directory.put_group(Group(WEB))
        self.assertEqual(await directory.groups(), [Group(WEB)])

    @deferred
    async def test_names_differ_by_more_than_case(self) -> None:
        """A group or peer whose name exists in other letters is a conflict, and nothing changes."""
        directory = await self._fresh(WEB)
        await directory.put_peer(a_peer("node1", WEB))
        await self._fails(directory.put_group(Group(GroupName("Web.Front-1"))), Conflict)
        await self._fails(directory.put_peer(a_peer("Node1")), Conflict)
        self.assertEqual(await directory.peers(), [a_peer("node1", WEB)])

    # Peers.

    @deferred
    async def test_peer(self) -> None:
        """A peer comes back with everything that was said of it, its neighbours in order."""
        directory = await self._fresh(ALL, WEB, DATA)
        peer = a_peer(
            "Node-1.rack_2",
            WEB,
            ALL,
            neighbours=tuple(PeerName(f"node{n}") for n in (9, 1, 10, 2, 11, 3, 4, 5, 6, 7, 8)),
            overrides=(("interval", "30"), ("note", "a=b, *(c) " + ODD)),
            arch="amd64",
            rack=ODD,
        )
        peer = evolve(peer, member=bytes(range(256)))
        await directory.put_peer(peer)
        self.assertEqual(await directory.peer(peer.name), peer)
        self.assertEqual(await directory.peers(), [peer])

    @deferred
    async def test_addresses(self) -> None:
        """A peer may have several addresses, of any kind."""
        directory = await self._fresh()
        addresses = (Address("2001:db8::1", 1, 65535), Address("10.0.0.1", 7500, 7501), Address("a.b", 2, 3))
        await directory.put_peer(evolve(a_peer("node1"), addresses=addresses))
        peer = await directory.peer(PeerName("node1"))
        assert peer is not None
        self.assertEqual(set(peer.addresses), set(addresses))

    @deferred
    async def test_bare_peer(self) -> None:
        """A peer need have nothing but a name."""
        directory = await self._fresh()
        peer = Peer(PeerName("n"), (), frozenset(), b"")
        await directory.put_peer(peer)
        self.assertEqual(await directory.peers(), [peer])

    @deferred
    async def test_no_such_peer(self) -> None:
        """There is no peer where none was put."""
        directory = await self._fresh(ALL)
        self.assertIsNone(await directory.peer(PeerName("nobody")))
        self.assertEqual(await directory.peers(), [])
        self.assertEqual(await directory.peers([ALL]), [])
        self.assertEqual(await directory.peers([GroupName("nowhere")]), [])
        self.assertEqual(await directory.peers([]), [])

    @deferred
    async def test_replacing_a_peer(self) -> None:
        """Nothing is left of what was said of a peer before, its memberships included."""
        directory = await self._fresh(ALL, WEB, DATA)
        old = a_peer(
            "node1", ALL, WEB, neighbours=(PeerName("node2"),), overrides=(("a", "b"),), arch="x", rack="r"
        )
        await directory.put_peer(old)
        new = Peer(PeerName("node1"), (), frozenset({WEB, DATA}), b"new")
        await directory.put_peer(new)
        self.assertEqual(await directory.peer(new.name), new)
        self.assertEqual(await directory.peers([ALL]), [])
        self.assertEqual(await directory.peers([DATA]), [new])

    @deferred
    async def test_unknown_group(self) -> None:
        """A peer cannot join a group that does not exist; nothing of it is recorded."""
        directory = await self._fresh(ALL)
        error = await self._fails(directory.put_peer(a_peer("node1", ALL, WEB)), BadInput)
        self.assertIn(WEB, str(error))
        self.assertEqual(await directory.peers(), [])

    @deferred
    async def test_peers_of_groups(self) -> None:
        """The peers of some groups are the members of any of them, each once, by name."""
        directory = await self._fresh(ALL, WEB, DATA)
        a, b, c = a_peer("a", ALL, WEB), a_peer("b", ALL, DATA), a_peer("c", ALL)
        for peer in (c, a, b):
            await directory.put_peer(peer)
        self.assertEqual(await directory.peers(), [a, b, c])
        self.assertEqual(await directory.peers({WEB}), [a])
        self.assertEqual(await directory.peers([DATA, WEB]), [a, b])
        self.assertEqual(await directory.peers((ALL, WEB)), [a, b, c])

    @deferred
    async def test_remove_peer(self) -> None:
        """A removed peer is gone with its memberships and status; the others stay."""
        directory = await self._fresh(ALL)
        for name in ("node1", "node2"):
            await directory.put_peer(a_peer(name, ALL))
            await (await self._as_peer(directory, name)).report(PeerStatus(PeerName(name)))
        await directory.remove_peer(PeerName("node1"))
        await directory.remove_peer(PeerName("node1"))
        self.assertEqual(await directory.peers([ALL]), [a_peer("node2", ALL)])
        self.assertEqual(list(await directory.statuses()), ["node2"])
        await directory.put_peer(a_peer("node1"))
        self.assertEqual(await directory.peer(PeerName("node1")), a_peer("node1"))

    @deferred
    async def test_many_peers(self) -> None:
        """However many peers there are, all are found (R44): a server's limits cut nothing off."""
        directory = await self._fresh(ALL, DATA)
        names = [f"node{n:04}" for n in range(self.many)]
        peers = [a_peer(name, *((ALL, DATA) if n % 7 == 0 else (ALL,))) for n, name in enumerate(names)]
        await _in_turn(peers, directory.put_peer)
        self.assertEqual(await directory.peers(), peers)
        self.assertEqual(await directory.peers([DATA]), peers[::7])
        self.assertEqual(await directory.peers([ALL]), peers)

    # Updates.

    @deferred
    async def test_head(self) -> None:
        """The head is 0 while nothing is registered, then the last seq."""
        directory = await self._fresh()
        self.assertEqual(await directory.head(), 0)
        for seq in (1, 2, 3):
            await directory.register(an_entry(seq))
            self.assertEqual(await directory.head(), seq)

    @deferred
    async def test_updates(self) -> None:
        """Exactly those updates that are asked for and registered come, in order, byte for byte."""
        directory = await self._fresh()
        self.assertEqual(await directory.updates(IdSet.upto(3)), [])
        entries = [an_entry(seq) for seq in range(1, 13)]
        for entry in entries:
            await directory.register(entry)
        envelopes = [entry.envelope for entry in entries]
        self.assertEqual(await directory.updates(IdSet.upto(12)), envelopes)
        self.assertEqual(
            await directory.updates(IdSet.parse("2-3,9-11,14-20")), envelopes[1:3] + envelopes[8:11]
        )
        self.assertEqual(await directory.updates(IdSet.parse("12-9007199254740991")), envelopes[11:])
        self.assertEqual(await directory.updates(IdSet()), [])

    @deferred
    async def test_odd_update(self) -> None:
        """Any words may stand in an update, and it need have no package."""
        directory = await self._fresh()
        entry = an_entry(
            1, why=ODD, packages=(), action=Action.RUN, argv=(ODD,), groups=frozenset(), issued=2**53
        )
        await directory.register(entry)
        self.assertEqual(await directory.updates(IdSet.upto(1)), [entry.envelope])

    @deferred
    async def test_register_again(self) -> None:
        """Registering the same submission again succeeds, also when others followed (H5)."""
        directory = await self._fresh()
        await directory.register(an_entry(1, "mine"))
        await directory.register(an_entry(1, "mine"))
        await directory.register(an_entry(2))
        await directory.register(an_entry(1, "mine"))
        self.assertEqual(await directory.head(), 2)

    @deferred
    async def test_seq_taken(self) -> None:
        """A seq in use by another submission is refused, and the first one stays."""
        directory = await self._fresh()
        await directory.register(an_entry(1, "mine"))
        await self._fails(directory.register(an_entry(1, "yours")), SequenceTaken)
        self.assertEqual(await directory.updates(IdSet.upto(1)), [an_entry(1, "mine").envelope])

    @deferred
    async def test_no_gaps(self) -> None:
        """Only the head's successor can be registered."""
        directory = await self._fresh()
        await self._fails(directory.register(an_entry(2)), SequenceTaken)
        await directory.register(an_entry(1))
        await self._fails(directory.register(an_entry(3)), SequenceTaken)
        self.assertEqual(await directory.head(), 1)

    @deferred
    async def test_one_submission_one_seq(self) -> None:
        """A submission that is registered cannot be registered under another seq too."""
        directory = await self._fresh()
        await directory.register(an_entry(1, "mine"))
        await self._fails(directory.register(an_entry(2, "mine")), Conflict)
        self.assertEqual(await directory.head(), 1)

    @deferred
    async def test_race(self) -> None:
        """Of submitters that want the same seq at once, one gets it, and the others are told (H5)."""
        directory = await self._fresh()
        other = await self.other_view(directory)
        for seq in (1, 2, 3):
            entries = [an_entry(seq, f"{who}-{seq}") for who in "abcd"]
            views = [directory, other, directory, other]
            racing = [view.register(entry) for view, entry in zip(views, entries, strict=True)]
            results: list[tuple[bool, Any]] = await DeferredList(racing, consumeErrors=True)
            winners = [entry for entry, (won, _) in zip(entries, results, strict=True) if won]
            self.assertEqual(len(winners), 1)
            for won, failure in results:
                self.assertTrue(won or failure.check(SequenceTaken), failure)
            self.assertEqual(await directory.updates(IdSet.of([seq])), [winners[0].envelope])
        self.assertEqual(await other.head(), 3)

    @deferred
    async def test_many_updates(self) -> None:
        """However long the history is, it is found whole, and the head with it."""
        directory = await self._fresh()
        entries = [an_entry(seq) for seq in range(1, self.many + 1)]
        for entry in entries:
            await directory.register(entry)
        envelopes = [entry.envelope for entry in entries]
        other = await self.other_view(directory)
        self.assertEqual(await other.head(), self.many)
        self.assertEqual(await directory.updates(IdSet.upto(self.many)), envelopes)
        scattered = IdSet.of(range(1, self.many + 1, 2))
        self.assertEqual(await directory.updates(scattered), envelopes[::2])

    # Status.

    @deferred
    async def test_status(self) -> None:
        """A peer's report comes back whole; failures by time, the newest last (R54)."""
        directory = await self._fresh()
        await directory.put_peer(a_peer("node1"))
        view = await self._as_peer(directory, "node1")
        status = PeerStatus(
            PeerName("node1"),
            head=12,
            settled=7,
            above="9-10,12",
            failures=(
                Failure(11, State.HELD, None, 1_700_000_000, ""),
                Failure(2, State.FAILED, -9, 1_700_000_005, ODD),
                Failure(5, State.FAILED, 100, 1_700_000_005, "dpkg said no"),
            ),
            state="isolated",
            reason=ODD,
            seen=1_700_000_009,
            version="0.1.0",
        )
        await view.report(status)
        self.assertEqual(await directory.statuses(), {"node1": status})
        self.assertEqual(await view.statuses(), {"node1": status})

    @deferred
    async def test_sources(self) -> None:
        """Where its packages came from is read if it is wanted, and gone with the next report without it."""
        directory = await self._fresh()
        await directory.put_peer(a_peer("node1"))
        view = await self._as_peer(directory, "node1")
        name = PeerName("node1")
        sources = tuple((digest_of(b"%d" % n), Provenance(n, 2, 3, 2**50)) for n in range(MOST_TOLD - 1))
        spoilt = (digest_of(b"spoilt"), Provenance(duplicates=5, wrong=9, spoilers=("a", "b-1.c")))
        status = PeerStatus(name, sources=tuple(sorted([*sources, spoilt], key=lambda source: source[0])))
        await view.report(status)
        self.assertEqual(await directory.statuses(), {"node1": PeerStatus(name)})
        self.assertEqual(await directory.statuses([name], sources=True), {"node1": status})
        await view.report(PeerStatus(name))
        self.assertEqual(await directory.statuses(sources=True), {"node1": PeerStatus(name)})

    @deferred
    async def test_replacing_a_status(self) -> None:
        """Nothing is left of an earlier report."""
        directory = await self._fresh()
        await directory.put_peer(a_peer("node1"))
        view = await self._as_peer(directory, "node1")
        failures = (Failure(2, State.FAILED, 1, 3, "x"),)
        name = PeerName("node1")
        await view.report(PeerStatus(name, 5, 3, "5", failures, "isolated", "why", 6, "0.1"))
        await view.report(PeerStatus(name, seen=7))
        self.assertEqual(await directory.statuses(), {"node1": PeerStatus(name, seen=7)})

    @deferred
    async def test_never_reported(self) -> None:
        """A peer that never reported has no status; nobody is asked for whom there is none."""
        directory = await self._fresh()
        for name in ("node1", "node2", "node3"):
            await directory.put_peer(a_peer(name))
        for name in ("node1", "node2"):
            await (await self._as_peer(directory, name)).report(PeerStatus(PeerName(name)))
        asked = [PeerName("node2"), PeerName("node3"), PeerName("nobody")]
        self.assertEqual(await directory.statuses(asked), {"node2": PeerStatus(PeerName("node2"))})
        self.assertEqual(set(await directory.statuses()), {"node1", "node2"})
        self.assertEqual(await directory.statuses([]), {})

    @deferred
    async def test_only_its_own_status(self) -> None:
        """A peer can report for itself alone, and change nothing that the administrators say."""
        directory = await self._fresh(ALL)
        await directory.put_peer(a_peer("node1"))
        await directory.put_peer(a_peer("node2"))
        view = await self._as_peer(directory, "node1")
        await self._fails(view.report(PeerStatus(PeerName("node2"))), DirectoryRefused)
        await self._fails(view.put_peer(a_peer("node1", ALL)), DirectoryRefused)
        await self._fails(view.put_group(Group(DATA)), DirectoryRefused)
        await self._fails(view.change_settings(evolve(self.settings, initial=50)), DirectoryRefused)
        await self._fails(view.add_root(1, b"mine"), DirectoryRefused)
        await self._fails(view.register(an_entry(1)), DirectoryRefused)
        await self._fails(view.remove_peer(PeerName("node2")), DirectoryRefused)
        self.assertEqual(await view.peers(), [a_peer("node1"), a_peer("node2")])
        self.assertEqual(await directory.statuses(), {})
        self.assertEqual(await directory.settings(), self.settings)

    # The end.

    @deferred
    async def test_closed(self) -> None:
        """A directory that was closed answers no more, and may be closed again."""
        directory = await self._fresh()
        await directory.settings()
        await directory.close()
        await directory.close()
        await self._fails(directory.settings(), DirectoryUnavailable)


async def _in_turn(items: Sequence[Peer], put: Callable[[Peer], Awaitable[None]]) -> None:
    """Call C{put} for all of C{items}, a few at a time."""

    async def some(mine: Iterable[Peer]) -> None:
        for item in mine:
            await put(item)

    await gatherResults([Deferred.fromCoroutine(some(items[at::8])) for at in range(8)])
