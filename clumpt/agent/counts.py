"""Where the bytes of packages came from, counted while they come."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field

from clumpt.pieces import Digest
from clumpt.provenance import MOST_TOLD, Provenance, Source

#: Packages of which it is remembered.
REMEMBERED = 256


@define(eq=False)
class Counts:
    """The provenance of the packages of which something came last."""

    _known: dict[Digest, Provenance] = field(factory=dict, init=False)

    def get(self, digest: Digest) -> Provenance | None:
        """Where a package came from, as far as it has; None if that is not remembered."""
        return self._known.get(digest)

    def put(self, digest: Digest, provenance: Provenance) -> None:
        """Remember this of a package; it is the newest now."""
        self._known.pop(digest, None)
        self._known[digest] = provenance
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]

    def newest(self) -> tuple[Source, ...]:
        """Where the packages came from of which something came last."""
        return tuple(self._known.items())[-MOST_TOLD:]

    def recall(self, known: Mapping[Digest, Provenance]) -> None:
        """This was known before a restart."""
        self._known.update(known)
