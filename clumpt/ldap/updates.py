"""The update table in the directory (R60, H5): adding the entry is the allocation of its id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from attrs import define, field

from clumpt.errors import Conflict, SequenceTaken
from clumpt.idset import IdSet
from clumpt.ldap import codec, layout, requests
from clumpt.ldap.entries import Entries, batches
from clumpt.ldap.results import CONSTRAINT, ENTRY_EXISTS, SUCCESS, AnswerLost
from clumpt.ldap.wire import Found, Wire
from clumpt.model import Entry, Seq

#: How many new updates one look for the head may return.
STRIDE = 64
#: When more updates than this are wanted, all are read and the others dropped.
MOST_BY_ID = 1000
#: Ids are below 2 to the power of this.
_BITS = 53

_IDENTITY = ("clumptSeq", "clumptSubmitId")


@define(eq=False)
class Updates:
    """
    The entries C{clumptSeq=n,ou=updates}: dense, in order, never changed.

    They are mostly asked for by equality: for an order between numbers OpenLDAP goes through its whole
    index, and again for each page.
    """

    _entries: Entries
    #: The highest seq seen: where the search for the head begins.
    _seen: Seq = field(default=0, init=False)

    async def head(self) -> Seq:
        """
        The highest registered seq, 0 for none.

        LDAP has no maximum.  One request tells of a few new updates; from nothing it takes some six.
        """
        low = self._seen
        if low:
            # Nothing at all means that the directory was set back (R13).
            low, complete = await self._look(low)
            if low and complete:
                self._seen = low
                return low
        complete = False
        while not complete:
            low = await self._climb(low)
            # There is a gap, if anything lies above, or somebody registers just now.
            above, complete = await self._look(low + 1)
            low = max(low, above)
        self._seen = low
        return low

    async def _look(self, first: Seq) -> tuple[Seq, bool]:
        """The highest of some seqs from C{first} on, 0 for none; and whether these are all."""
        found = await self._some(requests.at_least("clumptSeq", first))
        return max(found, default=0), len(found) < STRIDE

    async def _climb(self, low: Seq) -> Seq:
        """The highest seq, given that C{low} exists (or is 0) and nothing is missing above it."""
        best = await self._probe([low + 2**power for power in range(_BITS)])
        if not best:
            return low
        # The next power was not there.
        high = low + 2 * (best - low)
        low = best
        while high - low > 1:
            step = -(-(high - low) // STRIDE)
            low = await self._probe(range(low + step, high, step)) or low
            high = min(high, low + step)
        return low

    async def _probe(self, seqs: Iterable[Seq]) -> Seq:
        """The highest of C{seqs} that exists, 0 for none of them."""
        found = await self._some(requests.any_of([requests.equal("clumptSeq", seq) for seq in seqs]))
        return max(found, default=0)

    async def _some(self, filter: Any) -> Sequence[Seq]:
        async def some(wire: Wire) -> list[Found]:
            return await wire.some(self._branch, filter, ["clumptSeq"], STRIDE)

        found = await self._entries.servers.anywhere(some)
        return self._entries.all_readable(found, codec.read_seq)

    @property
    def _branch(self) -> str:
        return self._entries.tree.branch(layout.UPDATES)

    async def fetch(self, ids: IdSet) -> list[bytes]:
        """The envelopes of those of C{ids} that are registered, in order of seq."""
        found: list[Found] = []
        if len(ids) > MOST_BY_ID:
            found += await self._entries.listed(layout.UPDATES, requests.present(), codec.UPDATE)
        else:
            for batch in batches(list(ids)):
                by_id = requests.any_of([requests.equal("clumptSeq", seq) for seq in batch])
                found += await self._entries.listed(layout.UPDATES, by_id, codec.UPDATE)
        envelopes = dict(self._entries.all_readable(found, codec.read_update))
        return [envelopes[seq] for seq in sorted(envelopes) if seq in ids]

    async def register(self, entry: Entry) -> None:
        """Record C{entry}; raises L{SequenceTaken}, or L{Conflict} if it is registered under another seq."""
        if await self._registered(entry):
            return
        tree = self._entries.tree
        add = requests.add(tree.update(entry.seq), codec.update_attributes(entry))
        try:
            code = await self._entries.write(
                add, f"registering update {entry.seq}", (SUCCESS, ENTRY_EXISTS, CONSTRAINT)
            )
        except AnswerLost:
            if not await self._registered(entry):
                raise
            return
        if code != SUCCESS and not await self._registered(entry):
            raise SequenceTaken(f"update {entry.seq} was refused because of another one")

    async def _registered(self, entry: Entry) -> bool:
        """Is C{entry} recorded?  Raises L{SequenceTaken} or L{Conflict} if it cannot be."""
        seq, submit_id = entry.seq, entry.update.submit_id
        about = requests.any_of(
            [
                requests.equal("clumptSeq", seq - 1),
                requests.equal("clumptSeq", seq),
                requests.equal("clumptSubmitId", submit_id),
            ]
        )

        async def look(wire: Wire) -> list[Found]:
            return await wire.search(self._branch, about, _IDENTITY)

        found = await self._entries.servers.writer(look)
        identities = self._entries.all_readable(
            found, lambda one: (codec.read_seq(one), codec.read_submit_id(one))
        )
        return _judge(dict(identities), seq, submit_id)


def _judge(known: dict[Seq, str], seq: Seq, submit_id: str) -> bool:
    """What the entries around C{seq}, and those of the same submission, mean for registering it."""
    if known.get(seq) == submit_id:
        return True
    for other, owner in known.items():
        if owner == submit_id:
            raise Conflict(f"submission {submit_id} is registered already, as update {other}")
    if seq in known:
        raise SequenceTaken(f"update {seq} was registered by somebody else")
    if seq > 1 and seq - 1 not in known:
        raise SequenceTaken(f"update {seq} cannot be registered before update {seq - 1}")
    return False
