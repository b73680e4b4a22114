"""
Where a process spends its CPU time, by looking at its stack every few milliseconds of it.

Cheaper than a tracing profiler, and does not make small functions look expensive.
"""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType

#: Seconds of CPU between two looks; the kernel makes it longer, to a tick of its clock.
EVERY = 0.002
#: Calls of a stack that are remembered, from the innermost.
DEEPEST = 40


def start(path: Path, at_end: Callable[[Callable[[], None]], object]) -> None:
    """
    Look from now on.

    @param path: where what was seen is written to, in the end.
    @param at_end: is given what is to be called then; a daemon that is ended by a signal calls no C{atexit}.
    """
    seen: Counter[tuple[str, ...]] = Counter()

    def look(_: int, frame: FrameType | None) -> None:
        stack: list[str] = []
        while frame is not None and len(stack) < DEEPEST:
            code = frame.f_code
            stack.append(f"{'/'.join(code.co_filename.split('/')[-2:])}:{code.co_qualname}")
            frame = frame.f_back
        seen[tuple(stack)] += 1

    signal.signal(signal.SIGPROF, look)
    signal.siginterrupt(signal.SIGPROF, False)
    signal.setitimer(signal.ITIMER_PROF, EVERY, EVERY)

    def end() -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        path.write_text(json.dumps([[count, *stack] for stack, count in seen.items()]))

    at_end(end)


def table(paths: Iterable[Path], most: int = 40) -> str:
    """What was seen in several processes together: percent of CPU in each function, and below it."""
    own: Counter[str] = Counter()
    below: Counter[str] = Counter()
    for path in paths:
        for count, *stack in json.loads(path.read_text()):
            own[stack[0]] += count
            for function in set(stack):
                below[function] += count
    total = sum(own.values()) or 1
    lines = [f"{total} looks; percent of CPU in each function, and in it and below"]
    for function in sorted(below, key=lambda one: (own[one], below[one]), reverse=True)[:most]:
        lines.append(f"{100 * own[function] / total:6.1f} {100 * below[function] / total:6.1f}  {function}")
    lines.append("the most below:")
    for function, count in below.most_common(most):
        lines.append(f"{100 * own[function] / total:6.1f} {100 * count / total:6.1f}  {function}")
    return "\n".join(lines)
