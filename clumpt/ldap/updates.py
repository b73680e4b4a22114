"""The update table in the directory (R60, H5): adding the entry is the allocation of its id."""

from __future__ import annotations

from typing import Any

from attrs import define, field

from clumpt.errors import Conflict, SequenceTaken
from clumpt.idset import IdSet, Range
from clumpt.ldap import codec, layout, requests
from clumpt.ldap.entries import Entries, batches
from clumpt.ldap.results import CONSTRAINT, ENTRY_EXISTS, SUCCESS, AnswerLost
from clumpt.ldap.wire import Found, Wire
from clumpt.model import Entry, Seq

#: How many updates one look for the head may return.
STRIDE = 64

_IDENTITY = ("clumptSeq", "clumptSubmitId")


@define(eq=False)
class Updates:
    """The entries C{clumptSeq=n,ou=updates}: dense, in order, never changed."""

    _entries: Entries
    #: The highest seq seen: where the search for the head begins.
    _seen: Seq = field(default=0, init=False)

    async def head(self) -> Seq:
        """
        The highest registered seq, 0 for none.

        LDAP has no maximum.  One request tells of a few new updates; from scratch it takes some twenty.
        """
        low = self._seen
        highest, complete = await self._look(low)
        if not highest:
            # The directory was set back (R13), or is empty.
            low = 0
            highest, complete = await self._look(1)
        # Something is registered at low, nothing from high on.
        low, high, step = highest, None, STRIDE
        while not complete and (high is None or high - low > 1):
            middle = low + step if high is None else (low + high) // 2
            highest, complete = await self._look(middle)
            if highest:
                low, step = highest, step * 2
            else:
                high, complete = middle, False
        self._seen = low
        return low

    async def _look(self, first: Seq) -> tuple[Seq, bool]:
        """The highest of some seqs from C{first} on, 0 for none; and whether these are all."""

        async def look(wire: Wire) -> list[Found]:
            from_first = requests.between("clumptSeq", max(first, 1), None)
            return await wire.some(self._branch, from_first, ["clumptSeq"], STRIDE)

        found = await self._entries.servers.anywhere(look)
        seqs = self._entries.all_readable(found, codec.read_seq)
        return max(seqs, default=0), len(found) < STRIDE

    @property
    def _branch(self) -> str:
        return self._entries.tree.branch(layout.UPDATES)

    async def fetch(self, ids: IdSet) -> list[bytes]:
        """The envelopes of those of C{ids} that are registered, in order of seq."""
        envelopes: dict[Seq, bytes] = {}
        for ranges in batches(ids.ranges):
            found = await self._entries.listed(layout.UPDATES, _in_ranges(ranges), codec.UPDATE)
            envelopes.update(self._entries.all_readable(found, codec.read_update))
        return [envelopes[seq] for seq in sorted(envelopes)]

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
                requests.between("clumptSeq", max(1, seq - 1), seq),
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


def _in_ranges(ranges: Any) -> Any:
    wanted: list[Range] = list(ranges)
    return requests.any_of([requests.between("clumptSeq", first, last) for first, last in wanted])
