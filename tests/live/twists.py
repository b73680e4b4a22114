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

from clumpt.agent.serve import Server
from clumpt.agent.spread import Spread
from clumpt.apps import daemon
from clumpt.protocols.limits import Limits
from clumpt.store.repository import FileRepository

Twist = AbstractContextManager[Any]


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
    """Each peer is notified of what the file C{forged} of its folder holds, base64 in lines."""
    linked = Spread.linked

    def more(spread: Any, link: Any, head: int, news: Any) -> None:
        linked(spread, link, head, news)
        lines = (folder / "forged").read_bytes().split()
        link.notify([SimpleNamespace(envelope=b64decode(line)) for line in lines], [])

    return patch.object(Spread, "linked", more)


def hasty(folder: Path) -> Twist:
    """It waits for an answer for one second only."""
    return patch.object(daemon, "Limits", partial(Limits, request=1.0))


#: By name; each is given the folder of the peer.
TWISTS: Mapping[str, Callable[[Path], Twist]] = {
    "": lambda folder: nullcontext(),
    "wrong bytes": wrong_bytes,
    "silent": silent,
    "forged": forged,
    "hasty": hasty,
}
