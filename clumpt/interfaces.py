"""
The seams of the house: what the agent and the front doors may ask of the rooms
below, in our own words.  If a DN, a socket or a row shows in one of these, it
is the wrong interface.  Fakes and real parts pass the same contracts, which
are in L{clumpt.testing}.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint, ITransport
from zope.interface import Attribute, Interface

from clumpt.idset import IdSet
from clumpt.model import (
    Address,
    Entry,
    Group,
    GroupName,
    Member,
    Outcome,
    Package,
    Peer,
    PeerName,
    PeerStatus,
    Record,
    Seq,
    Settings,
    State,
    Update,
)
from clumpt.pieces import Bits, Digest, Round
from clumpt.trees import Branch


class IDirectory(Interface):
    """
    The state database (R12, R39): one reader's and writer's view of it.

    Every method may fail with L{clumpt.errors.DirectoryUnavailable} (nobody
    answered in time: try again) and with L{clumpt.errors.DirectoryRefused}
    (somebody answered no: tell the operator).
    """

    def settings() -> Deferred[Settings]:
        """What holds for the whole deployment."""

    def change_settings(settings: Settings) -> Deferred[None]:
        """Replace the settings; the deployment id cannot change."""

    def root_documents() -> Deferred[Sequence[bytes]]:
        """The root envelopes, version 1 first."""

    def add_root(version: int, envelope: bytes) -> Deferred[None]:
        """Publish a root document.  Fails with L{clumpt.errors.Conflict} if that version exists."""

    def groups() -> Deferred[Sequence[Group]]:
        """All groups by name."""

    def put_group(group: Group) -> Deferred[None]:
        """Create or replace a group's description and policy; its members stay."""

    def peers(groups: Collection[GroupName] | None = None) -> Deferred[Sequence[Peer]]:
        """The members of any of C{groups}, by name; of the whole deployment for None (R44, R61, R76)."""

    def peer(name: PeerName) -> Deferred[Peer | None]:
        """One peer, or None."""

    def put_peer(peer: Peer) -> Deferred[None]:
        """Create or replace what the administrators say of a peer, its memberships included."""

    def remove_peer(name: PeerName) -> Deferred[None]:
        """Forget a peer, its memberships and its status; does nothing if it is not there."""

    def head() -> Deferred[Seq]:
        """The highest registered seq, 0 for none."""

    def updates(ids: IdSet) -> Deferred[Sequence[bytes]]:
        """The envelopes of those of C{ids} that are registered, in order of seq."""

    def register(entry: Entry) -> Deferred[None]:
        """
        Record C{entry} under its seq, once (R60, H5).

        Fails with L{clumpt.errors.SequenceTaken} if the seq is in use by another submission, or is not
        the head's successor.  Registering the same C{submit_id} again succeeds.
        """

    def report(status: PeerStatus) -> Deferred[None]:
        """Replace what this peer says of itself (R54); allowed to the peer alone."""

    def statuses(
        peers: Collection[PeerName] | None = None, sources: bool = False
    ) -> Deferred[Mapping[PeerName, PeerStatus]]:
        """
        What these peers, or all, last said of themselves; who never reported is missing.

        @param sources: are their L{PeerStatus.sources} to be read, which are long?  Else these are empty.
        """

    def close() -> Deferred[None]:
        """Let go of all connections; fires when they are closed."""


class IKeyring(Interface):
    """The keys in force, and judgement by them.  Pure computing: nothing here waits."""

    deployment = Attribute("The id of the deployment, from the root document.")
    origin = Attribute("The digest of root version 1: C{prev} of seq 1.")
    version = Attribute("The version of the newest root accepted.")

    def learn_root(envelope: bytes) -> bool:
        """
        Take in the next root document; True if it is newer than what was known.

        Raises L{clumpt.errors.BadDocument} or L{clumpt.errors.Untrusted}.
        """

    def entry(envelope: bytes) -> Entry:
        """
        The update in C{envelope}, once its signature, deployment and the signer's scope are checked.

        Raises L{clumpt.errors.BadDocument} or L{clumpt.errors.Untrusted}.
        """

    def kept(envelope: bytes) -> Entry:
        """
        The update in an envelope that was checked when it came and is read back from this node's journal.

        Its signer may have been retired since; L{entry} judges it anew before it is run.
        Raises L{clumpt.errors.BadDocument}.
        """

    def member(envelope: bytes) -> Member:
        """
        The membership in C{envelope}, checked likewise, and not replaced by a newer statement of the peer.
        """


class ISigner(Interface):
    """A private key that may sign for this deployment."""

    keyid = Attribute("SHA-256 of the raw public key, in hexadecimal.")

    def sign_update(update: Update) -> Entry:
        """The signed entry for C{update}."""

    def sign_member(member: Member) -> bytes:
        """The envelope of a membership statement."""


class IStorage(Interface):
    """
    The files of this node, and every effect on them that the store has.

    A path is relative, of safe names joined by C{/}; the empty path is the root folder.  What was written
    survives the death of the process; only what was synced, in a folder that was synced, survives the loss
    of power.  Every method may raise L{clumpt.errors.NotHere} (no such file or folder),
    L{clumpt.errors.StoreFull}, and L{clumpt.errors.Damaged} (the disk failed: do not trust the file again).
    """

    def write(path: str, offset: int, data: bytes) -> None:
        """Write C{data} at C{offset}, making the file if it is missing; all of it, or it raises."""

    def read(path: str, offset: int, length: int) -> bytes:
        """At most C{length} bytes from C{offset}, fewer only at the end of the file."""

    def sync(path: str) -> None:
        """Make the contents of a file durable."""

    def rename(old: str, new: str) -> None:
        """Give a file another name, in place of what had it."""

    def unlink(path: str) -> None:
        """Remove a file; does nothing if it is not there."""

    def mkdir(path: str) -> None:
        """Make one folder; does nothing if it is there."""

    def sync_folder(path: str) -> None:
        """Make the names in a folder durable."""

    def names(path: str) -> Sequence[str]:
        """The names in a folder, sorted; none if it is not there."""

    def size(path: str) -> int | None:
        """Bytes in a file, None if it is not there."""

    def free() -> int:
        """Bytes that may still be written."""

    def location(path: str) -> Path:
        """Where the file is for other programs."""


class IAssembly(Interface):
    """
    A package that is arriving, piece by piece; what was put survives a restart (resume).

    Not durable before L{finish}.
    """

    package = Attribute("The L{Package}.")
    held = Attribute("L{Bits}: the verified pieces here.")

    def needs_hashes() -> bool:
        """Must L{put_hashes} be called before pieces can be checked?"""

    def put_hashes(raw: bytes) -> None:
        """Give the list of piece hashes.  Raises L{clumpt.errors.BadDocument} if it is not the signed one."""

    def put(index: int, data: bytes) -> bool:
        """
        Check and keep one piece; False if its hash is wrong and nothing was kept.

        Raises L{clumpt.errors.StoreFull}; L{clumpt.errors.NotHere} if the package was dropped meanwhile;
        ValueError while L{needs_hashes}.
        """

    def finish() -> Deferred[None]:
        """
        Check the whole and make it durable under its final name; from then on the repository holds it.

        Fails with L{clumpt.errors.Damaged} if the whole does not match or the disk failed, with
        L{clumpt.errors.StoreFull}, both after throwing everything away, because what a failed sync left
        behind cannot be trusted; with L{clumpt.errors.NotHere} if the package was dropped meanwhile.
        """


class IPieces(Interface):
    """Pieces that can be given away (R36), by package: what came over the wire never names a path (H2)."""

    def held(package: Package) -> Bits:
        """The pieces of C{package} that are here and verified, whole or arriving."""

    def hashes(package: Package) -> bytes | None:
        """The raw list of piece hashes, None if it is not here."""

    def read(package: Package, index: int) -> bytes | None:
        """One verified piece, None if it is not here."""


class IRepository(IPieces):
    """The packages held here (R22, R30), by digest."""

    damaged = Attribute("Called with the digest of a whole package that was set aside, as it is damaged.")

    def holds(digest: Digest) -> bool:
        """Is the whole, verified package here?"""

    def assemble(package: Package) -> IAssembly:
        """The assembly for C{package}, begun or resumed.  Raises L{clumpt.errors.StoreFull}."""

    def path(digest: Digest) -> Path:
        """Where the whole package lies.  Raises L{clumpt.errors.NotHere}."""

    def check(digest: Digest) -> Deferred[bool]:
        """Hash the whole file again; False if it is damaged, and quarantined then, or not here at all."""

    def drop(digest: Digest) -> None:
        """Forget a package and free its bytes; does nothing if it is not here."""

    def digests() -> Collection[Digest]:
        """All whole packages here."""

    def usage() -> int:
        """Bytes that this repository takes on disk, arriving packages included."""


class IJournal(Interface):
    """
    What this peer must not forget (R15, R18): its table, its states, its trust.

    Each method is one transaction, durable when it returns.  Any may raise L{clumpt.errors.StoreFull}, with
    nothing changed, or L{clumpt.errors.Damaged}, after which the journal is of no use: end the process.
    """

    def identity(deployment: str, peer: PeerName) -> None:
        """
        Whose journal this is: written down the first time, compared ever after.

        Raises L{clumpt.errors.IdentityError} if it is another deployment's or peer's.
        """

    def entries() -> Sequence[bytes]:
        """The envelopes of the table, in order from seq 1."""

    def add_entries(entries: Sequence[Entry]) -> None:
        """
        Append to the table; the states of new seqs are L{State.KNOWN}.

        Raises ValueError, with nothing changed, unless they follow the head without a gap.
        """

    def states() -> Mapping[Seq, State]:
        """How far each known update has come."""

    def outcome(seq: Seq) -> Outcome | None:
        """How C{seq} ended or why it is held, None if nothing was recorded, or it goes on since."""

    def intend(seq: Seq) -> int:
        """
        Write down that C{seq} is about to be run; returns the attempt, 1 for the first.

        Raises L{clumpt.errors.Conflict} if it is done: what succeeded is never run again.
        """

    def settle(seq: Seq, outcome: Outcome, at: float, lazily: bool = False) -> None:
        """
        Record how C{seq} ended (L{State.DONE}, L{State.FAILED}), is held, or was skipped.

        Recording the same again changes nothing.  Raises L{clumpt.errors.Conflict} if it is done, and
        C{outcome} says something else.

        @param at: seconds since the epoch, to show.
        @param lazily: a power loss may take it back, unless something that it may not take was recorded
            later.
        """

    def history(most: int = 100) -> Sequence[Record]:
        """The newest C{most} of what was settled here (R5), the newest last; a bounded number is kept."""

    def settled_at(seq: Seq) -> float:
        """The epoch seconds of the last L{settle} of C{seq}, 0 for never."""

    def attempts(seq: Seq) -> int:
        """How often C{seq} was intended."""

    def roots() -> Sequence[bytes]:
        """The root envelopes accepted so far, version 1 first."""

    def add_root(envelope: bytes) -> None:
        """Keep one more accepted root."""

    def cached(key: str) -> bytes | None:
        """What was last L{cache}d under C{key}: settings and peers as the directory gave them."""

    def cache(key: str, value: bytes, lazily: bool = False) -> None:
        """
        Keep C{value}, so that a start without the directory is possible (R8).

        @param lazily: a power loss may take it back to the value before.
        """

    def reported() -> Seq:
        """The number of changes that the directory has been told of."""

    def changes() -> int:
        """
        The number of changes ever made here that a report shows: an update became known, ended, was held or
        skipped, or is so no longer.  More than L{reported} means that a report is due.
        """

    def set_reported(changes: int) -> None:
        """The directory knows the first C{changes} changes; a power loss may take that back."""

    def close() -> None:
        """Let go of the files."""


class IInstaller(Interface):
    """
    Runs updates with the node's own package managers (R20, R53), one at a time.

    The run is done by a helper that outlives this process; so L{run} may find that it is already
    running, or has ended, and then adopts it.
    """

    allowed = Attribute("The names of the installers that this node allows (H3).")

    def run(entry: Entry, attempt: int, packages: Sequence[Path]) -> Deferred[Outcome]:
        """
        Carry out attempt C{attempt} of C{entry} with its packages, whose digests are checked again.

        Fires with the outcome; L{State.HELD} with C{code} None means that nobody knows how it ended, as the
        helper died inside the run (its C{reason} begins with C{interrupted}), or else that nothing was
        run: the package manager stayed locked (C{locked}), a package here is not the signed one
        (C{damaged}: fetch it again), or this node cannot run it now (any other reason: a person must look).
        Calling it again for the same seq and attempt never runs anything twice: how it ended is kept,
        whatever happens to this node, at least until another run is begun.
        """

    def output(seq: Seq) -> bytes:
        """The last 64 KiB that the newest run of C{seq} printed, empty if there is none."""


class ILink(Interface):
    """
    What we may ask of a linked peer: both protocols, whoever dialled.

    Every Deferred fails with L{clumpt.errors.LinkLost} if the link ends or the answer does not come in
    time, with L{clumpt.errors.NotHere}, or with L{clumpt.errors.Busy}.
    """

    peer = Attribute("L{PeerName} from the peer's certificate; of a tool it is L{clumpt.model.run_of} that.")
    head = Attribute("The highest seq that this peer is known to have.")
    full = Attribute("Is there no room to send a piece?  L{IPeerEvents.drained} follows.")
    heard = Attribute("When the last bytes of a piece, or anything else but a ping, came, by the clock.")

    def notify(entries: Sequence[Entry], holding: Collection[Seq]) -> None:
        """Tell of new updates (R32); C{holding} are those whose packages can be asked of us (H1)."""

    def reload() -> None:
        """Tell the peer that its neighbours or groups changed (R67)."""

    def table(have: IdSet) -> Deferred[Sequence[bytes]]:
        """The envelopes of a bounded number of updates that we lack, in order; empty for none (R38)."""

    def hashes(digest: Digest) -> Deferred[bytes]:
        """The raw list of piece hashes of a package."""

    def piece(digest: Digest, index: int, size: int) -> Deferred[bytes]:
        """
        One piece of a package (R35).

        @param size: bytes that the piece has; a peer that sends more is hung up on.
        """

    def holding(digest: Digest, count: int, bits: Bits) -> None:
        """Tell which of the C{count} pieces we hold, and that we want the others if any is missing."""

    def have(digest: Digest, held: Bits, coming: Bits) -> None:
        """Tell that we hold C{held} as well, and that of the rest only C{coming} is on its way here now."""

    def offer(digest: Digest, index: int) -> None:
        """Tell that we have room to send this piece at once, if it is asked for."""

    def decline(digest: Digest, index: int) -> None:
        """Answer an offer that is of no use now."""

    def feed(digest: Digest, word: Round, size: int) -> None:
        """Say how a package goes round between us; what is then fed to us has C{size} bytes at most."""

    def fed(digest: Digest, index: int, data: bytes) -> None:
        """Send a piece to a peer that asked to be fed."""

    def branch(digest: Digest, branch: Branch) -> bool:
        """
        Tell what of a tree of a package begins with the peer; False, and nothing is told, if it speaks an
        older version.

        Raises L{clumpt.errors.BadDocument} if the branch is too large to be told.
        """

    def output(seq: Seq) -> Deferred[bytes]:
        """What the install of C{seq} printed on that peer."""

    def close() -> None:
        """End the link; L{IPeerEvents.unlinked} follows."""


class IPeerEvents(Interface):
    """
    What a linked peer may tell and ask us; the agent's side of the wires.

    Requests may return a Deferred.  They raise, or fail with, L{clumpt.errors.NotHere} or
    L{clumpt.errors.Busy}, which are answers; anything else closes the link.
    """

    def hello() -> tuple[str, Seq, Digest, bytes]:
        """Our deployment, head, digest of the newest entry and own member statement, to greet with."""

    def admit(peer: PeerName, fingerprint: Digest, member: bytes) -> None:
        """
        May the peer of this certificate, who greeted with this member statement, link to us?

        Raises L{clumpt.errors.BadDocument} or L{clumpt.errors.Untrusted} if not; the link is closed.
        """

    def linked(link: ILink, head: Seq, top: Digest) -> None:
        """A peer greeted us and was admitted: both protocols are open."""

    def acked(link: ILink, head: Seq) -> None:
        """The peer now knows every update up to C{head}."""

    def unlinked(link: ILink) -> None:
        """The link is gone; none of its methods does anything any more."""

    def notified(link: ILink, envelopes: Sequence[bytes], holding: Collection[Seq], head: Seq) -> bool:
        """New updates, not yet verified; returns whether the peer is to hear that they were taken in."""

    def reload_asked(link: ILink) -> None:
        """Neighbours or groups changed in the directory."""

    def table_wanted(link: ILink, have: IdSet) -> Sequence[bytes]:
        """A page of what the peer lacks."""

    def hashes_wanted(link: ILink, digest: Digest) -> Deferred[bytes]:
        """The list of piece hashes."""

    def piece_wanted(link: ILink, digest: Digest, index: int) -> Deferred[bytes]:
        """One piece, when it is its turn."""

    def holding_told(link: ILink, digest: Digest, raw: bytes) -> None:
        """The peer holds these pieces (an encoded L{Bits}, unchecked)."""

    def have_told(link: ILink, digest: Digest, held: Bits, coming: Bits) -> None:
        """The peer holds these pieces as well, and those are on their way to it (both unchecked)."""

    def offered(link: ILink, digest: Digest, index: int) -> None:
        """The peer would send this piece now (index unchecked)."""

    def declined(link: ILink, digest: Digest, index: int) -> None:
        """The peer does not want what we offered (index unchecked)."""

    def goes_round(link: ILink, digest: Digest, word: Round) -> None:
        """The peer says how a package goes round between us."""

    def fed(link: ILink, digest: Digest, index: int, data: bytes) -> None:
        """A piece came that was not asked for by itself (unchecked)."""

    def branched(link: ILink, digest: Digest, branch: Branch) -> None:
        """The peer passes a package on to us along a tree, and this is what is below us (unchecked)."""

    def drained(link: ILink) -> None:
        """There is room again on a link that was full."""

    def output_wanted(link: ILink, seq: Seq) -> bytes:
        """What the install of C{seq} printed here."""


class ISecurity(Interface):
    """How wires are protected, and who is at the far end: a peer's name comes from here alone."""

    def client(endpoint: IStreamClientEndpoint) -> IStreamClientEndpoint:
        """C{endpoint}, with every connection made through it protected."""

    def server(factory: IProtocolFactory) -> IProtocolFactory:
        """C{factory}, with every connection that it serves protected."""

    def identity(transport: ITransport) -> tuple[PeerName, Digest]:
        """
        Who is at the far end of C{transport}, once its handshake is over: the name, and the SHA-256 of
        the public key (SubjectPublicKeyInfo).

        Raises L{clumpt.errors.Untrusted} if it shows no name that this deployment could have given.
        """


class INetwork(Interface):
    """The links to other peers: listening, dialling, keeping open, with back-off per peer (R84)."""

    def start(events: IPeerEvents) -> Deferred[None]:
        """Listen.  Fails with L{clumpt.errors.BadInput} if an address is in use."""

    def keep(peers: Mapping[PeerName, Sequence[Address]]) -> None:
        """The peers to stay linked to: dial the new ones now, let go of those no longer named."""

    def links() -> Mapping[PeerName, ILink]:
        """The open links, by peer."""

    def dial(peer: PeerName, addresses: Sequence[Address]) -> Deferred[ILink]:
        """
        The open link to C{peer}, or a new one, which is closed again when idle.

        Fails with L{clumpt.errors.PeerUnreachable} in bounded time.
        """

    def stop() -> Deferred[None]:
        """Close everything; fires when nothing is open any more."""
