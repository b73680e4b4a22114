"""How much a daemon says and hears: messages by kind, reads, writes, and turns of the reactor."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.tcp import Connection

from clumpt.protocols.line import Line

#: What Twisted calls once in every turn.
_TURN = "doIteration"


def start(path: Path, at_end: Callable[[Callable[[], None]], object]) -> None:
    """
    Count from now on, in this process.

    @param path: where the counts are written to, in the end.
    @param at_end: is given what is to be called then.
    """
    counts: Counter[str] = Counter()

    def watched(owner: Any, name: str, what: Callable[..., str]) -> None:
        original = getattr(owner, name)

        def instead(*words: Any) -> Any:
            counts[what(*words)] += 1
            return original(*words)

        setattr(owner, name, instead)

    watched(Line, "_take", lambda line, message: f"heard {type(message).__name__}")
    watched(Line, "send", lambda line, message: f"said {type(message).__name__}")
    watched(Connection, "_dataReceived", lambda *_: "reads")
    watched(Connection, "writeSomeData", lambda *_: "writes")
    watched(installed, _TURN, lambda *_: "turns")

    def end() -> None:
        path.write_text(json.dumps(counts))

    at_end(end)


def table(paths: Iterable[Path]) -> str:
    """What was counted in several processes, on average."""
    each = [json.loads(path.read_text()) for path in paths]
    kinds = sorted({kind for counts in each for kind in counts})
    rows = [f"{sum(counts.get(kind, 0) for counts in each) / len(each):10.1f}  {kind}" for kind in kinds]
    return "\n".join(["on average, in one peer:", *rows])
