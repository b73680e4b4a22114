"""What a demonstration shows in the end: for people, and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from attrs import frozen

from clumpt.apps.demonstration.submitting import View
from clumpt.apps.oneshot import Status
from clumpt.apps.screen import size
from clumpt.progress import Stage

#: The version of what C{--json} prints; it grows when something is taken away or changes its meaning.
VERSION = 1


@frozen
class Result:
    """
    How one update ended.

    @ivar seconds: from its submission until the directory knew of the last peer.
    @ivar submitter: bytes of packages that came from the submitter, C{peers} those from peer to peer.
    """

    seq: int
    package: str
    installer: str
    groups: tuple[str, ...]
    targets: int
    done: int
    failed: int
    seconds: float
    submitter: int
    peers: int
    reasons: tuple[str, ...] = ()

    @classmethod
    def of(cls, view: View, needed: int) -> Result:
        """
        The result that C{view} shows.

        @param needed: bytes that the targets lacked before, all together.
        """
        update, seen = view.entry.update, view.picture
        stands = list(seen.peers.values()) if seen is not None else []
        failed = [stand for stand in stands if stand.over and stand.stage is not Stage.DONE]
        told = sum(view.sent.values()) if view.sent is not None else max(0, needed - view.submitter)
        return cls(
            seq=update.seq,
            package=update.label,
            installer=update.installer,
            groups=tuple(sorted(update.groups)),
            targets=len(view.plan.targets),
            done=sum(stand.stage is Stage.DONE for stand in stands),
            failed=len(failed),
            seconds=round(view.seconds, 3),
            submitter=view.submitter,
            peers=told,
            reasons=tuple(sorted({stand.reason for stand in stands if stand.stage is not Stage.DONE} - {""})),
        )

    @property
    def pending(self) -> int:
        """Peers that are not finished."""
        return self.targets - self.done - self.failed

    @property
    def fields(self) -> dict[str, Any]:
        """The result for programs."""
        return {
            "seq": self.seq,
            "package": self.package,
            "groups": list(self.groups),
            "targets": self.targets,
            "done": self.done,
            "failed": self.failed,
            "pending": self.pending,
            "seconds": self.seconds,
            "bytes": {"submitter": self.submitter, "peers": self.peers},
        }


@frozen
class Summary:
    """How the whole demonstration ended."""

    peers: int
    directory: str
    results: tuple[Result, ...]

    @property
    def status(self) -> Status:
        """The exit status, as C{clumpt install --wait all} has it."""
        if any(result.failed for result in self.results):
            return Status.FAILED
        return Status.SPREADING if any(result.pending for result in self.results) else Status.DONE

    @property
    def json(self) -> str:
        """One line for programs."""
        return json.dumps(
            {
                "v": VERSION,
                "ok": self.status is Status.DONE,
                "peers": self.peers,
                "directory": self.directory,
                "updates": [result.fields for result in self.results],
            }
        )

    @property
    def lines(self) -> Sequence[str]:
        """Lines for people."""
        return list(self._lines())

    def _lines(self) -> Iterator[str]:
        for one in self.results:
            ends = f"{one.done} of {one.targets} installed"
            others = [
                f"{count} {word}"
                for word, count in (("failed", one.failed), ("pending", one.pending))
                if count
            ]
            yield (
                f"update {one.seq}: {one.package} with {one.installer}, for {', '.join(one.groups)}:"
                f" {', '.join([ends, *others])} in {one.seconds:.1f} s"
            )
            yield f"  {size(one.submitter)} came from the submitter, {size(one.peers)} from peer to peer"
            for reason in one.reasons:
                yield f"  {reason}"
