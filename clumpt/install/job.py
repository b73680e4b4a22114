"""What the daemon tells the helper of one attempt at one update."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any, NewType

from attrs import asdict, frozen

from clumpt.errors import Damaged
from clumpt.install.command import Rules
from clumpt.model import Seq

_VERSION = 1
#: Names one attempt at one update in the spool, such as C{17-1}.
JobName = NewType("JobName", str)


def job_name(seq: Seq, attempt: int) -> JobName:
    """The name of attempt C{attempt} at update C{seq}."""
    return JobName(f"{seq}-{attempt}")


@frozen
class Job:
    """
    All that the helper must know of one attempt at one update.

    @ivar envelope: the signed update, which the helper verifies again.
    @ivar roots: the root envelopes, version 1 first.
    @ivar packages: the absolute paths of the packages, in the order of the update.
    """

    seq: Seq
    attempt: int
    envelope: bytes
    roots: tuple[bytes, ...]
    packages: tuple[str, ...]
    rules: Rules

    @property
    def name(self) -> JobName:
        """Its name in the spool."""
        return job_name(self.seq, self.attempt)

    def encode(self) -> bytes:
        """The job as it is kept."""
        return json.dumps(
            {
                "v": _VERSION,
                "seq": self.seq,
                "attempt": self.attempt,
                "envelope": b64encode(self.envelope).decode(),
                "roots": [b64encode(root).decode() for root in self.roots],
                "packages": list(self.packages),
                "rules": {**asdict(self.rules), "allowed": sorted(self.rules.allowed)},
            }
        ).encode()

    @classmethod
    def decode(cls, raw: bytes) -> Job:
        """What L{encode} wrote.  Raises L{Damaged}."""
        try:
            said = json.loads(raw)
            if said["v"] != _VERSION:
                raise Damaged(f"a job of version {said['v']}, which this version of Clumpt does not know")
            return cls(
                int(said["seq"]),
                int(said["attempt"]),
                b64decode(said["envelope"], validate=True),
                tuple(b64decode(root, validate=True) for root in _strings(said["roots"])),
                _strings(said["packages"]),
                rules_from(said["rules"]),
            )
        except (KeyError, TypeError, ValueError) as wrong:
            raise Damaged(f"this is no job: {wrong!r}") from wrong


def rules_from(said: dict[str, Any]) -> Rules:
    """The rules that were written as C{said}.  Raises KeyError, TypeError or ValueError."""
    programs = {name: _strings(words) for name, words in dict(said["programs"]).items()}
    return Rules(**{**said, "allowed": frozenset(_strings(said["allowed"])), "programs": programs})


def _strings(said: Any) -> tuple[str, ...]:
    if not isinstance(said, list) or not all(isinstance(one, str) for one in said):
        raise ValueError(f"not a list of words: {said!r}")
    return tuple(said)
