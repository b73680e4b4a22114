"""
Peers that do harm: with a good certificate and a signed membership, as after a break-in.

A L{Liar} speaks the protocols with the code of the real ones; what it says and
answers is up to its L{Vice}.  It is told everything that was ever signed, as the
worst of them would find it out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from clumpt.errors import Busy, NotHere
from clumpt.idset import IdSet
from clumpt.interfaces import ILink, IPeerEvents
from clumpt.model import Entry, Package, PeerName, Seq
from clumpt.pieces import Bits, Digest, Round, digest_of
from clumpt.protocols.client import Network
from clumpt.testing.keys import signer
from clumpt.trees import TREES, Branch

if TYPE_CHECKING:
    from clumpt.testing.cluster import Cluster

__all__ = [
    "VICES",
    "Babbler",
    "Braggart",
    "Flooder",
    "Forger",
    "Liar",
    "Mute",
    "Poisoner",
    "Pretender",
    "Vice",
]

#: Seconds between two misdeeds on each link.
PAUSE = 3.0


@define(eq=False)
class Liar:
    """A host of the cluster on which not the daemon runs, but somebody else's program."""

    cluster: Cluster
    name: PeerName
    address: str
    statement: bytes
    kind: type[Vice]
    vice: Vice = field(init=False)
    network: Network = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.cluster.network.host(self.address)

    def start(self) -> None:
        """Begin, in the life that its host is in."""
        cluster = self.cluster
        reactor = cluster.network.host(self.address).reactor
        self.network = Network(
            reactor, reactor, cluster.world.random, cluster.security, self.name, "", cluster.ports
        )
        self.vice = self.kind(self)
        self.network.start(self.vice)
        known = cluster.enrolled[self.name].neighbours
        # One that was dismissed is named until the lists are made anew.
        there = {name: cluster.enrolled[name].addresses for name in known if name in cluster.enrolled}
        self.network.keep(there)
        reactor.callLater(PAUSE, self._act)

    @property
    def parts(self) -> tuple[object, ...]:
        """What of its program may log something: it complains of honest peers."""
        return self.network, self.network._wires.complaints

    def _act(self) -> None:
        self.vice.act(list(self.network.links().values()))
        self.cluster.network.host(self.address).reactor.callLater(PAUSE, self._act)


@implementer(IPeerEvents)
@define(eq=False)
class Vice:
    """A peer that greets well, and gives nothing; the others are worse."""

    liar: Liar

    @property
    def random(self) -> Random:
        """The dice."""
        return self.liar.cluster.world.random

    @property
    def entries(self) -> Sequence[Entry]:
        """Everything that was signed."""
        return self.liar.cluster.keys.entries

    def packages(self) -> list[Package]:
        """The packages of the newest updates."""
        return [package for entry in self.entries[-5:] for package in entry.update.packages]

    def act(self, links: Sequence[ILink]) -> None:
        """Do harm."""

    def hello(self) -> tuple[str, Seq, Digest, bytes]:
        """See L{IPeerEvents}."""
        keys = self.liar.cluster.keys
        return keys.name, 0, keys.keyring().origin, self.liar.statement

    def admit(self, peer: PeerName, fingerprint: Digest, member: bytes) -> None:
        """Everybody is welcome."""

    def linked(self, link: ILink, head: Seq, top: Digest) -> None:
        """See L{IPeerEvents}."""
        self.act([link])

    def acked(self, link: ILink, head: Seq) -> None:
        """See L{IPeerEvents}."""

    def unlinked(self, link: ILink) -> None:
        """See L{IPeerEvents}."""

    def notified(self, link: ILink, envelopes: Sequence[bytes], holding: Collection[Seq], head: Seq) -> bool:
        """See L{IPeerEvents}."""
        return False

    def reload_asked(self, link: ILink) -> None:
        """See L{IPeerEvents}."""

    def table_wanted(self, link: ILink, have: IdSet) -> Any:
        """See L{IPeerEvents}; Any: requests may be answered later."""
        return ()

    def hashes_wanted(self, link: ILink, digest: Digest) -> Any:
        """See L{IPeerEvents}."""
        raise NotHere("no")

    def piece_wanted(self, link: ILink, digest: Digest, index: int) -> Any:
        """See L{IPeerEvents}."""
        raise NotHere("no")

    def holding_told(self, link: ILink, digest: Digest, raw: bytes) -> None:
        """See L{IPeerEvents}."""

    def have_told(self, link: ILink, digest: Digest, held: Bits, coming: Bits) -> None:
        """See L{IPeerEvents}."""

    def offered(self, link: ILink, digest: Digest, index: int) -> None:
        """See L{IPeerEvents}."""

    def declined(self, link: ILink, digest: Digest, index: int) -> None:
        """See L{IPeerEvents}."""

    def goes_round(self, link: ILink, digest: Digest, word: Round) -> None:
        """See L{IPeerEvents}."""

    def fed(self, link: ILink, digest: Digest, index: int, data: bytes) -> None:
        """See L{IPeerEvents}."""

    def branched(self, link: ILink, digest: Digest, branch: Branch) -> None:
        """See L{IPeerEvents}."""

    def drained(self, link: ILink) -> None:
        """See L{IPeerEvents}."""

    def output_wanted(self, link: ILink, seq: Seq) -> bytes:
        """See L{IPeerEvents}."""
        raise NotHere("no")

    def boast(self, links: Sequence[ILink]) -> None:
        """Claim to hold everything."""
        held = [entry.seq for entry in self.entries[-5:]]
        for link in links:
            if self.entries:
                link.notify(self.entries[-5:], held)
            for package in self.packages():
                link.holding(package.sha256, package.pieces.count, Bits.full(package.pieces.count))


class Forger(Vice):
    """Sends updates that nobody signed, or that were signed for something else."""

    def act(self, links: Sequence[ILink]) -> None:
        """Send some to everybody."""
        forged = [entry for _ in range(3) for entry in self.forged()]
        for link in links:
            link.notify(forged, [entry.seq for entry in forged])

    def forged(self) -> Iterator[Entry]:
        """Updates that must not be taken."""
        cluster = self.liar.cluster
        update = cluster.keys.update(packages=(cluster.package(100),), submit_id="forged")
        yield signer("a thief").sign_update(update)
        yield cluster.keys.submit_key.sign_update(evolve(update, deployment="another"))
        yield cluster.keys.root_key.sign_update(update)
        if self.entries:
            true = self.random.choice(self.entries)
            yield evolve(true, envelope=self.altered(true.envelope))
            yield signer("a thief").sign_update(evolve(true.update, why="changed"))

    def altered(self, envelope: bytes) -> bytes:
        """The same with one byte changed."""
        at = self.random.randrange(len(envelope))
        return envelope[:at] + bytes([envelope[at] ^ 1 << self.random.randrange(7)]) + envelope[at + 1 :]

    def hello(self) -> tuple[str, Seq, Digest, bytes]:
        """Have more than anybody."""
        keys = self.liar.cluster.keys
        return keys.name, len(keys.entries) + 1, digest_of(b"a lie"), self.liar.statement

    def table_wanted(self, link: ILink, have: IdSet) -> Sequence[bytes]:
        """See L{IPeerEvents}."""
        return [entry.envelope for entry in self.forged()]


class Poisoner(Vice):
    """Claims to hold everything, and gives wrong bytes."""

    def act(self, links: Sequence[ILink]) -> None:
        """Boast, and offer."""
        self.boast(links)
        for link in links:
            for package in self.packages():
                link.offer(package.sha256, self.random.randrange(package.pieces.count))

    def hashes_wanted(self, link: ILink, digest: Digest) -> bytes:
        """The right number of wrong ones, or rubbish."""
        if self.random.random() < 0.5:
            return self.random.randbytes(self.random.randrange(1000))
        pieces = [package.pieces.count for package in self.packages() if package.sha256 == digest]
        return self.random.randbytes(32 * (pieces[0] if pieces else 1))

    def piece_wanted(self, link: ILink, digest: Digest, index: int) -> bytes:
        """As long as it should be, or shorter; never right."""
        pieces = next((package.pieces for package in self.packages() if package.sha256 == digest), None)
        if pieces is None or not 0 <= index < pieces.count:
            raise NotHere("no")
        size = pieces.length(index)
        return self.random.randbytes(size if self.random.random() < 0.7 else self.random.randrange(size + 1))


class Mute(Vice):
    """Claims to hold everything, and does not answer, or says that it is busy."""

    def act(self, links: Sequence[ILink]) -> None:
        """Boast."""
        self.boast(links)

    def hello(self) -> tuple[str, Seq, Digest, bytes]:
        """Know everything."""
        keys = self.liar.cluster.keys
        top = keys.entries[-1].digest if keys.entries else keys.keyring().origin
        return keys.name, len(keys.entries), top, self.liar.statement

    def table_wanted(self, link: ILink, have: IdSet) -> Deferred[Sequence[bytes]]:
        """Never."""
        return Deferred()

    def hashes_wanted(self, link: ILink, digest: Digest) -> Deferred[bytes]:
        """Never."""
        return self.never()

    def piece_wanted(self, link: ILink, digest: Digest, index: int) -> Deferred[bytes]:
        """Never."""
        return self.never()

    def never(self) -> Deferred[bytes]:
        """No answer, or a useless one."""
        if self.random.random() < 0.5:
            raise Busy(0.01)
        return Deferred()


class Braggart(Vice):
    """Claims to know many more updates than there are, and never shows them."""

    def hello(self) -> tuple[str, Seq, Digest, bytes]:
        """Be far ahead."""
        keys = self.liar.cluster.keys
        return keys.name, 1_000_000_000, digest_of(b"a lie"), self.liar.statement

    def act(self, links: Sequence[ILink]) -> None:
        """Say so."""
        for link in links:
            link.notify(self.entries[-1:], range(1, 1000))


@define(eq=False)
class Flooder(Vice):
    """Says and asks far too much."""

    #: Branches, without who is to hear them (None in its place): what else is said soon ends a link.
    _grafts: list[tuple[Digest, int, tuple[PeerName | None, ...]]] = field(factory=list, init=False)

    def act(self, links: Sequence[ILink]) -> None:
        """Do all of it."""
        for link in links:
            for _ in range(6):
                self.flood(link)

    def some(self) -> Bits:
        """Pieces that there may be, or not."""
        return Bits.of(self.random.randrange(2000) for _ in range(self.random.randrange(4)))

    def flood(self, link: ILink) -> None:
        """One wave."""
        for digest, inner, names in self._grafts:
            there = tuple(dict.fromkeys(link.peer if name is None else name for name in names))
            link.branch(digest, Branch(inner % TREES, min(inner, len(there)), there))
        link.notify(self.entries[-20:], range(1, 100))
        link.reload()
        link.table(IdSet()).addErrback(lambda _: None)
        packages = self.packages()
        for package in [*packages, None]:
            digest = package.sha256 if package is not None else digest_of(self.random.randbytes(8))
            link.have(digest, self.some(), self.some())
            link.offer(digest, self.random.randrange(2000))
            link.decline(digest, self.random.randrange(2000))
            link.holding(digest, 8, Bits(self.random.getrandbits(8)))
            link.hashes(digest).addErrback(lambda _: None)
            link.piece(digest, self.random.randrange(2000), 100).addErrback(lambda _: None)
            link.output(1).addErrback(lambda _: None)
        self._grafts = [self.graft(package.sha256) for package in packages]
        self._grafts.append(self.graft(digest_of(self.random.randbytes(8))))

    def graft(self, digest: Digest) -> tuple[Digest, int, tuple[PeerName | None, ...]]:
        """Who is to pass on a package: mostly the one that hears it, and some whom there may be."""
        stranger = PeerName(f"stranger{self.random.randrange(1000)}")
        first = None if self.random.random() < 0.9 else self.random.choice([self.liar.name, stranger])
        others = sorted({*self.liar.cluster.enrolled, stranger})
        names = self.random.sample(others, self.random.randint(0, min(6, len(others))))
        return digest, self.random.randrange(8), (first, *names)


class Babbler(Vice):
    """Opens connections and writes rubbish, or nothing."""

    def act(self, links: Sequence[ILink]) -> None:
        """Do it to one peer."""
        cluster = self.liar.cluster
        reactor = cluster.network.host(self.liar.address).reactor
        victim = self.random.choice(list(cluster.machines.values()))
        for port in cluster.ports * 3:
            rubbish = self.random.randbytes(self.random.choice([0, 1, 100, 100_000]))
            endpoint = TCP4ClientEndpoint(reactor, victim.address, port, timeout=5)
            endpoint.connect(Factory.forProtocol(Protocol)).addCallbacks(
                lambda wire, rubbish=rubbish: wire.transport.write(rubbish),  # type: ignore[misc]
                lambda failure: None,
            )


class Pretender(Vice):
    """Greets with the membership of another peer, or with one that nobody signed."""

    def hello(self) -> tuple[str, Seq, Digest, bytes]:
        """See L{IPeerEvents}."""
        deployment, head, top, own = super().hello()
        cluster = self.liar.cluster
        other = self.random.choice(sorted(cluster.machines)) if cluster.machines else ""
        stolen = list(cluster.statements)[sorted(cluster.machines).index(other)] if other else own
        return deployment, head, top, self.random.choice([stolen, own[:-9], b""])


#: All that there are.
VICES = (Vice, Forger, Poisoner, Mute, Braggart, Flooder, Babbler, Pretender)
