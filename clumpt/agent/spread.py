"""Passes on what is new: entries to those who lack them, packages to those who want them (R32-R34)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from clumpt.agent.fetch import Fetcher
from clumpt.agent.gossip import Gossip
from clumpt.agent.grove import Grove
from clumpt.agent.holdings import Holdings
from clumpt.agent.job import Agenda
from clumpt.agent.known import Known
from clumpt.agent.news import News
from clumpt.agent.ringed import BEHIND
from clumpt.agent.serve import Server
from clumpt.errors import BadDocument
from clumpt.idset import IdSet
from clumpt.interfaces import ILink
from clumpt.model import Entry, Package, PeerName, Seq
from clumpt.pieces import NONE, Bits, Digest, Round

#: Open updates whose packages are fetched ahead of their turn: a few, and more while they are small.
AHEAD, FAR_AHEAD, SMALL = 64, 512, 64 * 1024 * 1024
#: Seconds between looks at packages that nobody linked holds, or whose pieces are late.
WATCH = 0.5


@define(eq=False)
class Spread:
    """
    The traffic of updates and packages between this peer and those linked to it.

    @ivar entry: the chained entry of a seq, None beyond the head.
    @ivar submits: is this peer a submitter?  It waits to hear that we hold what it holds (R64).
    @ivar first: whom of some peers to tell of an update at once.
    @ivar concerned: which of some peers an update is for.
    @ivar widen: opens links to more members of our groups, when nobody linked holds what is needed (H12).
    """

    _reactor: IReactorTime
    _agenda: Agenda
    _gossip: Gossip
    _server: Server
    _fetcher: Fetcher
    _entry: Callable[[Seq], Entry | None]
    submits: Callable[[PeerName], bool]
    _widen: Callable[[], object]
    _first: Callable[[Entry, Sequence[PeerName]], Collection[PeerName]]
    _concerned: Callable[[Entry, Iterable[PeerName]], Collection[PeerName]]
    news: News = field(init=False)
    holdings: Holdings = field(init=False)
    grove: Grove = field(init=False)
    _known: dict[PeerName, Known] = field(factory=dict, init=False)
    _lost: set[Digest] = field(factory=set, init=False)
    _watching: IDelayedCall | None = field(default=None, init=False)
    _stopped: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.news = News(
            self._reactor,
            self._agenda.peer,
            self._gossip,
            self._known,
            self._complete,
            self.submits,
            self._first,
        )
        self.holdings = Holdings(self._reactor, self._known, self._server, self._fetcher)
        self.grove = Grove(self._agenda.peer, self._known, self._server, self._fetcher, self.holdings.show)

    def stop(self) -> None:
        """Pass nothing on any more."""
        self._stopped = True
        self._fetcher.stop()
        self._server.uplink.stop()
        self.news.stop()
        self.holdings.stop()
        if self._watching is not None and self._watching.active():
            self._watching.cancel()

    def linked(self, link: ILink, head: Seq, news: Sequence[Entry]) -> None:
        """A link opened to a peer that knows everything up to C{head}; C{news} is what is beyond."""
        self._gossip.linked(link.peer, head)
        known = self._known[link.peer] = Known(link)
        self.news.tell(known, self._gossip.lacking(link.peer, news), list(self._agenda.concerning()))
        for package in self._fetcher.arriving:
            self.holdings.say(link.peer, package)
            self._fetcher.begun(package)

    def unlinked(self, peer: PeerName) -> None:
        """The link is gone."""
        self._gossip.unlinked(peer)
        self._known.pop(peer, None)
        self._fetcher.lost(peer)
        self._server.uplink.lost(peer)

    def acked(self, peer: PeerName, head: Seq) -> None:
        """C{peer} knows everything up to C{head}."""
        self._gossip.knows(peer, head)

    def joined(self, entries: Sequence[Entry], hurry: bool) -> None:
        """These entries are new here: tell those who lack them; some of them at once, if there is hurry."""
        for entry in entries:
            for package in entry.update.packages:
                self._server.know(package)
                self._heard_of(package)
        seqs = [entry.seq for entry in entries]
        self.news.joined(entries, seqs, hurry)
        # Who knew them before us may wait for packages that were here already, and have asked in vain.
        self.servable(seqs)

    def _heard_of(self, package: Package) -> None:
        """Some may have told what they hold of it before its update came; no more than there is counts."""
        for peer, known in self._known.items():
            if package.sha256 in known.pieces:
                there_are = Bits.full(package.pieces.count).value
                bits = known.pieces[package.sha256] = Bits(known.pieces[package.sha256].value & there_are)
                self._server.uplink.saw(peer, package, bits)
                if package.sha256 in known.wishes:
                    known.wishes.discard(package.sha256)
                    self._server.goes_round(known.link, package.sha256, Round.WANTED)

    def notified(self, peer: PeerName, seqs: Collection[Seq], holding: Collection[Seq]) -> None:
        """C{peer} knows C{seqs}, and the packages of C{holding} can be asked of it."""
        self._gossip.has(peer, seqs)
        known = self._known.get(peer)
        if known is not None and holding:
            known.seqs = known.seqs | IdSet.of(holding)
            for seq in holding:
                self._holds_all(peer, seq)
            # Who submits something again, or twice, is to know that it is here.
            self.news.inform(known, IdSet.of(self._complete(holding)))

    def told(self, peer: PeerName, seqs: Collection[Seq]) -> None:
        """C{peer} told of these updates: if they are for it, it has their packages, or is about to."""
        for seq in seqs:
            entry = self._entry(seq)
            if entry is not None and self._concerned(entry, [peer]):
                for package in entry.update.packages:
                    self._fetcher.expect(peer, package.sha256)

    def holders(self, package: Package) -> list[PeerName]:
        """The linked peers that are known to hold all of C{package}."""
        seqs = self._agenda.users(package.sha256)
        return [
            peer
            for peer, known in self._known.items()
            if any(seq in known.seqs for seq in seqs)
            or len(known.pieces.get(package.sha256, ())) == package.pieces.count
        ]

    def fetch(self) -> None:
        """Fetch what the first open updates need."""
        if self._stopped:
            return
        wanted = self._agenda.wanted(AHEAD, FAR_AHEAD, SMALL)
        for package in self._fetcher.want([*wanted, *self._restoring()]):
            self._begun(package)
        self._watch()

    def restore(self, digest: Digest) -> None:
        """A package that was here was damaged: fetch it again, though no open update needs it (H11)."""
        self._lost.add(digest)
        self.fetch()

    def _restoring(self) -> list[Package]:
        lost = [package for digest in sorted(self._lost) if (package := self._server.package(digest))]
        lost = [package for package in lost if len(self._server.held(package)) < package.pieces.count]
        self._lost = {package.sha256 for package in lost}
        return lost

    def _begun(self, package: Package) -> None:
        """A package begins to arrive: who is known to hold it, and who else may?"""
        seqs = self._agenda.users(package.sha256)
        ids = IdSet.of(seqs)
        for peer, known in list(self._known.items()):
            # Whoever was told that it is here, before it was lost, does not tell that it has it too.
            misled = known.told.pop(package.sha256, 0) > 0 or any(seq in known.informed for seq in seqs)
            if misled or any(seq in known.unsaid for seq in seqs):
                known.informed, known.unsaid = known.informed - ids, known.unsaid - ids
            if package.pieces.count > 1 or misled:
                self.holdings.say(peer, package)
            if any(seq in known.seqs for seq in seqs):
                self._fetcher.learn(peer, package.sha256, Bits.full(package.pieces.count))
            elif package.sha256 in known.pieces:
                self._fetcher.learn(peer, package.sha256, known.pieces[package.sha256])
        if package.pieces.count > 1:
            self.grove.begun(package)
            self._fetcher.begun(package)

    def _holds_all(self, peer: PeerName, seq: Seq) -> None:
        entry = self._entry(seq)
        for package in entry.update.packages if entry is not None else ():
            whole = Bits.full(package.pieces.count)
            self._fetcher.learn(peer, package.sha256, whole)
            # Or pieces of it were offered to the peer, and declined, for ever.
            self._server.uplink.saw(peer, package, whole)

    def holding_told(self, link: ILink, digest: Digest, raw: bytes) -> None:
        """C{link} says which pieces it holds, and wants ours if it lacks any; raises L{BadDocument}."""
        package, known = self._server.package(digest), self._known.get(link.peer)
        if known is None:
            return
        if package is None:
            known.saw(digest, Bits(int.from_bytes(raw, "little")))
            return
        bits = Bits.decode(raw, package.pieces.count)
        if known.lost(digest, bits, package.pieces.count, IdSet.of(self._agenda.users(digest))):
            self._server.uplink.forget(link.peer, digest)
        bits = known.saw(digest, bits)
        self._fetcher.learn(link.peer, digest, bits)
        self._server.uplink.saw(link.peer, package, bits)
        if self._server.held(package).value & ~bits.value or self._fetcher.wants(digest):
            self.holdings.say(link.peer, package)

    def have_told(self, link: ILink, digest: Digest, held: Bits, coming: Bits) -> None:
        """C{link} holds more pieces, and others are on their way to it; raises L{BadDocument}."""
        package, known = self._server.package(digest), self._known.get(link.peer)
        if known is None:
            return
        if package is None:
            known.saw(digest, held)
            return
        if (held.value | coming.value) >> package.pieces.count:
            raise BadDocument(f"a piece beyond the {package.pieces.count} that there are")
        bits = known.saw(digest, held)
        self._fetcher.learn(link.peer, digest, bits)
        self._server.uplink.saw(link.peer, package, bits, coming)

    def offered(self, link: ILink, digest: Digest, index: int) -> None:
        """C{link} would send us a piece now; raises L{BadDocument}."""
        self._fetcher.offered(link, digest, index)

    def goes_round(self, link: ILink, digest: Digest, word: Round) -> None:
        """C{link} says how a package goes round between us."""
        known, feeds = self._known.get(link.peer), self._fetcher.feeds
        feeder = self._server.uplink.feeder
        if known is not None and self._server.package(digest) is None:
            known.wish(digest, word)
        match word:
            case Round.WANTED if feeds.pushes(digest) and not feeder.push.below(link.peer, digest):
                # It is in none of the trees, or not below us: it need not wait for what does not go round.
                link.feed(digest, Round.OVER, 0)
            case Round.WANTED | Round.ENOUGH:
                self._server.goes_round(link, digest, word)
            case Round.OVER:
                feeds.end(digest)
            case Round.WITHOUT:
                feeds.left_out(link.peer, digest, feeder.feeds(link.peer, digest))
            case Round.INSTEAD if known is not None and (package := self._server.package(digest)):
                self._invited(known, package)

    def _invited(self, known: Known, package: Package) -> None:
        """
        C{known} would feed us, in place of who does not keep up between us.

        If it is not ahead, nobody was to be fed from there: it may as well believe to do it.
        """
        digest, feeds = package.sha256, self._fetcher.feeds
        ahead = known.pieces.get(digest, NONE).value & ~self._server.held(package).value
        welcome = feeds.turn if ahead.bit_count() >= BEHIND else feeds.humour
        if welcome(known.link.peer, digest):
            self.holdings.show(known.link.peer, package)
            known.link.feed(digest, Round.WANTED, package.pieces.size)

    def announce(self, link: ILink, package: Package) -> None:
        """Tell C{link} now of the update of a package, and what is here of it: it is to pass it on."""
        known, seqs = self._known.get(link.peer), self._agenda.users(package.sha256)
        if known is not None:
            entries = [entry for seq in seqs if (entry := self._entry(seq)) is not None]
            self.news.tell(known, self._gossip.lacking(link.peer, entries), seqs)
            self.holdings.show(link.peer, package)

    def fed(self, link: ILink, digest: Digest, index: int, data: bytes) -> None:
        """A piece came by itself; raises L{BadDocument}."""
        self._fetcher.fed(link, digest, index, data)

    def arrived(self, package: Package, index: int, sender: PeerName) -> None:
        """One more piece is here."""
        if package.pieces.count > 1:
            self.holdings.arrived(package, index, sender)
            return
        # That it is here is all there is to tell, and told when it is safe on the disk.
        self._server.uplink.arrived(package, index)
        if (known := self._known.get(sender)) is not None:
            known.seqs = known.seqs | self._of(package)

    def piece_wanted(self, link: ILink, digest: Digest, index: int) -> Deferred[bytes]:
        """C{link} asks for a piece; see L{Server.piece}."""
        answer, package = self._server.piece(link, digest, index), self._server.package(digest)
        if package is not None and package.pieces.count == 1:
            answer.addCallback(self._gave, link.peer, package)
        return answer

    def _gave(self, data: bytes, peer: PeerName, package: Package) -> bytes:
        """C{peer} gets all of a package from us, so it knows that we hold it."""
        if (known := self._known.get(peer)) is not None:
            seqs = self._of(package)
            known.informed, known.unsaid = known.informed | seqs, known.unsaid - seqs
        return data

    def _of(self, package: Package) -> IdSet:
        """The updates that have this package, and no other."""
        entries = map(self._entry, self._agenda.users(package.sha256))
        return IdSet.of(
            entry.seq for entry in entries if entry is not None and len(entry.update.packages) == 1
        )

    def servable(self, seqs: Collection[Seq]) -> None:
        """The packages of these updates can be asked of us now (R34); a submitter waits for that (R64)."""
        complete = IdSet.of(self._complete(seqs))
        for known in list(self._known.values()) if complete else ():
            self.news.inform(known, complete)

    def _complete(self, seqs: Collection[Seq]) -> list[Seq]:
        return [seq for seq in seqs if (entry := self._entry(seq)) is not None and self._whole(entry)]

    def _whole(self, entry: Entry) -> bool:
        packages = entry.update.packages
        return bool(packages) and all(len(self._server.held(p)) == p.pieces.count for p in packages)

    def _watch(self) -> None:
        if self._watching is None and self._fetcher.busy:
            self._watching = self._reactor.callLater(WATCH, self._look)

    def _look(self) -> None:
        """Time has passed: are pieces late, or packages that nobody seems to hold?"""
        self._watching = None
        self._fetcher.pump()
        starving = self._fetcher.starving
        for package in starving:
            for peer in list(self._known):
                self.holdings.say(peer, package)
        if starving:
            self._widen()
        self.fetch()
