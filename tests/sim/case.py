"""What the tests of simulated clusters share: seeds, and how they are played and told."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from twisted.trial.unittest import SynchronousTestCase

from clumpt.testing.drill import Drill, apart

#: Seeds that are played if nothing is said.
USUAL = 200
#: Lines of the diary that are shown of a seed that failed.
SHOWN = 60
#: The seeds of storms that ever failed.
SEEDS = Path(__file__).with_name("seeds.txt")

# What is here already stays: it need not be looked through between two worlds.
gc.collect()
gc.freeze()


def known_seeds(text: str) -> list[int]:
    """The seeds in a file that has one a line, with a remark behind it."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [int(line) for line in lines if line]


def seeds(usual: int = USUAL, known: Path = SEEDS) -> Sequence[int]:
    """C{CLUMPT_SEED} alone; or C{CLUMPT_SEEDS} many, and all that ever failed."""
    if one := os.environ.get("CLUMPT_SEED"):
        return [int(one)]
    many = range(1, int(os.environ.get("CLUMPT_SEEDS") or usual) + 1)
    return list(dict.fromkeys([*known_seeds(known.read_text()), *many]))


def told(seed: int, test: str, wrong: BaseException) -> str:
    """How to see it again, and what was wrong."""
    lines = str(wrong).splitlines()
    story = lines[:30] + lines[30:][-SHOWN:]
    return "\n".join([f"CLUMPT_SEED={seed} python -m twisted.trial {test}", *story])


class Played(Protocol):
    """A seed that can be played."""

    def play(self) -> None:
        """All of it; raises whatever is wrong."""


class ClusterTestCase(SynchronousTestCase):
    """A test with worlds of its own."""

    def tearDown(self) -> None:
        """Tear down what is left of the worlds; what its daemons say then does not matter."""
        # What ends a coroutine may leave more behind, and what it said holds it until that is forgotten.
        while gc.collect() or self.flushLoggedErrors():
            pass

    def play(self, seeds: Iterable[int], kind: Callable[[int], Played] = Drill) -> None:
        """Play seeds, all of them, and tell which failed."""
        failures = []
        for seed in seeds:
            with apart():
                try:
                    kind(seed).play()
                except Exception as wrong:  # noqa: BLE001 - whatever it is, it is told with its seed
                    failures.append(told(seed, type(self).__module__, wrong))
        if failures:
            self.fail("\n\n".join(failures))
