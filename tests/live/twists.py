"""What may be wrong with a peer, on purpose."""

from base64 import b64decode
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from clumpt.agent.serve import Server
from clumpt.agent.spread import Spread
from clumpt.apps import daemon
from clumpt.protocols.limits import Limits
from clumpt.protocols.line import Line
from clumpt.store.repository import FileRepository

Twist = AbstractContextManager[Any]
#: Seconds after which a liar tells its lies again: who hears them too early takes no notice.
AGAIN = 0.2
#: No message but a piece is longer.
PIECE = 4096


def wrong_bytes(folder: Path) -> Twist:
    """It sends pieces with one bit changed."""
    read = FileRepository.read

    def changed(repository: Any, package: Any, index: int) -> bytes | None:
        data = read(repository, package, index)
        return bytes([data[0] ^ 1]) + data[1:] if data else data

    return patch.object(FileRepository, "read", changed)


def silent(folder: Path) -> Twist:
    """It never answers when it is asked for a piece."""
    return patch.object(Server, "piece", lambda *words: Deferred())


def forged(folder: Path) -> Twist:
    """Each peer is notified of what the file C{forged} of its folder holds, in base64, again and again."""
    linked, unlinked = Spread.linked, Spread.unlinked
    told: dict[str, LoopingCall] = {}

    def more(spread: Any, link: Any, head: int, news: Any) -> None:
        linked(spread, link, head, news)
        envelopes = [b64decode(line) for line in (folder / "forged").read_bytes().split()]
        telling = LoopingCall(link.notify, [SimpleNamespace(envelope=envelope) for envelope in envelopes], [])
        told[link.peer] = telling
        telling.start(AGAIN)

    def ended(spread: Any, peer: str) -> None:
        unlinked(spread, peer)
        told.pop(peer).stop()

    return patch.multiple(Spread, linked=more, unlinked=ended)


def drip(folder: Path) -> Twist:
    """Its pieces leave at one byte a second."""
    flush = Line._flush

    def slowly(line: Any) -> None:
        if line._queue and max(map(len, line._queue)) > PIECE:
            rest = b"".join(line._queue)
            line._queue.clear()
            drops = iter(rest)
            # The end of the piece, in some hours, or of the connection ends it.
            dripping = LoopingCall(lambda: line.transport.write(bytes([next(drops)])))
            dripping.start(1.0).addErrback(lambda failure: None)
        else:
            flush(line)

    return patch.object(Line, "_flush", slowly)


def hasty(folder: Path) -> Twist:
    """It waits for an answer for one second only."""
    return patch.object(daemon, "Limits", partial(Limits, request=1.0))


#: By name; each is given the folder of the peer.
TWISTS: Mapping[str, Callable[[Path], Twist]] = {
    "": lambda folder: nullcontext(),
    "wrong bytes": wrong_bytes,
    "silent": silent,
    "forged": forged,
    "drip": drip,
    "hasty": hasty,
}
