"""The steps of a peer and of its helper, and the death at one of them."""

import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from attrs import asdict, frozen

from clumpt.store import layout
from clumpt.store.journal import SqliteJournal
from clumpt.store.storage import DiskStorage

#: A step, and when it comes: the first time is 1.
Doom = tuple[str, int]
#: As they are when nobody is told of them.
FSYNC, RENAME = os.fsync, os.rename


@frozen
class Order:
    """
    What peer to fork.

    @ivar folder: where it leaves its trace: C{trace}, C{killed}, C{pid}, C{log}.
    @ivar dooms: where it is to die, one after the other, over all its lives.
    @ivar head: the update after which it is finished, 0 to go on for ever.
    @ivar twist: what is wrong with it, by the name of one of L{TWISTS}.
    """

    name: str
    config: str
    folder: str
    dooms: tuple[Doom, ...] = ()
    head: int = 0
    twist: str = ""

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> "Order":
        said = json.loads(line)
        return cls(**{**said, "dooms": tuple((label, count) for label, count in said["dooms"])})


class Steps:
    """Writes down the steps of one process, and dies at the one that is next doomed."""

    def __init__(self, order: Order) -> None:
        self.order, self.folder = order, Path(order.folder)
        self.counts: Counter[str] = Counter()

    def __call__(self, label: str) -> None:
        self.counts[label] += 1
        doom = (label, self.counts[label])
        _append(self.folder / "trace", f"{label}\t{doom[1]}\n")
        killed = self.folder / "killed"
        lives = len(killed.read_text().splitlines()) if killed.exists() else 0
        if self.order.dooms[lives : lives + 1] == (doom,):
            _append(killed, f"{label}\n")
            self.die(label)

    def die(self, label: str) -> None:
        """Die without a word; with C{power} all that runs on the node does."""
        if label.startswith("power"):
            os.kill(int((self.folder / "pid").read_text()), signal.SIGKILL)
            for leader in self.folder.glob("state/spool/*.leader"):
                os.killpg(int(leader.read_text().split()[0]), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


class Labelled:
    """Another object; C{now} is what it was last asked to do, in the words of C{label}."""

    def __init__(self, label: Callable[..., str]) -> None:
        self.now, self.label, self.inner = "", label, None

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if not callable(found):
            return found

        def call(*words: Any, **more: Any) -> Any:
            self.now = self.label(name, *words)
            return found(*words, **more)

        return call


def _append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def storage(root: Path, steps: Steps) -> Any:
    """The disk; its steps are named by the effect and the kind of file."""

    def kind(name: str, *words: Any) -> str:
        path = [word for word in words if isinstance(word, str)][-1:]
        return _kind(path[0]) if path else ""

    labelled = Labelled(kind)
    labelled.inner = DiskStorage(root, lambda name: steps(f"{name} {labelled.now}"))
    return labelled


def _kind(path: str) -> str:
    if path.endswith(layout.SUFFIX):
        return "hashes"
    if path.startswith(layout.ARRIVING + "/"):
        return "arriving"
    known = {"": "state", layout.REPO: "repository", layout.ARRIVING: "arrivals", layout.DAMAGED: "damaged"}
    return known.get(path) or ("package" if path.count("/") == 2 else "shelf")


def journal(path: Path, steps: Steps) -> Any:
    """The journal; its steps are named by the change."""
    labelled = Labelled(lambda name, *words: name)
    labelled.now = "open"
    labelled.inner, damaged = SqliteJournal.open(path, lambda name: steps(f"{name} {labelled.now}"))
    return labelled, damaged


class Reporting:
    """A directory; there is a step before each report, and one after."""

    def __init__(self, inner: Any, steps: Steps) -> None:
        self.inner, self.steps = inner, steps

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def report(self, status: Any) -> Any:
        self.steps("report")

        def told(result: None) -> None:
            self.steps("reported")

        return self.inner.report(status).addCallback(told)


def spool_steps(steps: Callable[[str], None]) -> Any:
    """Tell C{steps} of what happens to files of the spool, just before it does."""

    def synced(file: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{file}"))
        if "spool" in path.parts:
            steps(f"sync {_spooled(path)}")
        FSYNC(file)

    def renamed(old: Any, new: Any, **more: Any) -> None:
        if "spool" in Path(new).parts:
            steps(f"rename {_spooled(Path(new))}")
        RENAME(old, new, **more)

    return patch.multiple(os, fsync=synced, rename=renamed)


def _spooled(path: Path) -> str:
    kinds = [part for part in path.name.split(".") if part in ("job", "started", "result", "output")]
    return kinds[0] if kinds else "spool"
