"""The update table together with its journal and the judge of what may enter it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from attrs import define, field
from twisted.logger import Logger

from clumpt.errors import BadDocument, StoreFull, Untrusted
from clumpt.idset import IdSet
from clumpt.interfaces import IJournal, IKeyring
from clumpt.model import Entry, PeerName, Seq, bearer
from clumpt.pieces import Digest
from clumpt.table import Table, Taken

#: Bad updates that are named in the log for each sender, until this peer is started anew: a liar goes on.
NAMED = 16


@define(eq=False)
class Chain:
    """
    What this peer knows of the updates; every entry was verified before it came in.

    @ivar forked: is there proof that two histories were signed?  Nothing may run then.
    """

    _journal: IJournal
    _keyring: IKeyring
    table: Table = field(init=False)
    _unsaved: list[Entry] = field(factory=list, init=False)
    _bad: Counter[PeerName] = field(factory=Counter, init=False)
    _log = Logger()

    def __attrs_post_init__(self) -> None:
        self.table = Table(self._keyring.origin)

    def restore(self) -> None:
        """Read the journal; raises L{BadDocument} if it is not what was written."""
        self.table.restore([self._keyring.kept(envelope) for envelope in self._journal.entries()])

    @property
    def head(self) -> Seq:
        """The highest seq of the chain."""
        return self.table.head

    @property
    def top(self) -> Digest:
        """The digest of the newest entry."""
        return self.table.top

    @property
    def known(self) -> IdSet:
        """All seqs held."""
        return self.table.known

    @property
    def forked(self) -> bool:
        """Was a signed entry seen that contradicts the chain?"""
        return self.table.fork is not None

    def take(self, envelopes: Iterable[bytes], sender: PeerName) -> tuple[list[Entry], list[Seq]]:
        """
        Offer envelopes that came from C{sender}.

        Returns the entries that joined the chain, in order, and the seqs of all good ones.  What is not
        good is logged with the sender's name and left out.
        """
        joined: list[Entry] = []
        good: list[Seq] = []
        for envelope in envelopes:
            # Every neighbour tells of what is new: it is verified once.
            known = self.table.same(envelope)
            if known is not None:
                good.append(known.seq)
                continue
            try:
                entry = self._keyring.entry(envelope)
            except (BadDocument, Untrusted) as wrong:
                self._blame(sender, wrong)
                continue
            was_forked = self.forked
            taken, more = self.table.take(entry)
            joined += more
            if taken is not Taken.FORKED:
                good.append(entry.seq)
            # It may be one that came earlier, and had to wait for this one.
            fork = self.table.fork
            if fork is not None and not was_forked:
                self._log.critical(
                    "two histories were signed: update {seq} from {peer} contradicts the table of this node; "
                    "nothing is run here until the administrators have looked into it",
                    seq=fork.seq,
                    peer=sender,
                )
        return joined, good

    def _blame(self, sender: PeerName, wrong: Exception) -> None:
        sender = bearer(sender)
        self._bad[sender] += 1
        if self._bad[sender] <= NAMED:
            self._log.error("{peer} sent an update that is not good: {wrong}", peer=sender, wrong=wrong)
        if self._bad[sender] == NAMED:
            self._log.error("{peer} sent {many} of them: no more are named", peer=sender, many=NAMED)

    def save(self, entries: list[Entry]) -> bool:
        """Make entries that joined durable; False if there is no room: they are kept for the next time."""
        self._unsaved += entries
        if not self._unsaved:
            return True
        try:
            self._journal.add_entries(self._unsaved)
        except StoreFull as full:
            self._log.error("cannot write the update table to disk, trying again: {full}", full=full)
            return False
        self._unsaved = []
        return True

    def page(self, have: IdSet, most: int) -> list[Entry]:
        """The first C{most} chained entries that are not in C{have}, in order."""
        lacking: list[Entry] = []
        for seq in IdSet.upto(self.head) - have:
            if len(lacking) == most:
                break
            lacking.append(self.table[seq])
        return lacking
