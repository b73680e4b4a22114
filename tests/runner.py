"""
Runs the checks and all tests, and closes with one line that a machine can read:
N passed, N failed, N skipped.

Usage: python -m tests.runner [MODULE...]
"""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).resolve().parent.parent
CHECKS = (("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",))
#: Seconds after which a run that does not end is killed, and counts as failed.
LONGEST = 3600
_SUMMARY = re.compile(
    r"^(?:PASSED|FAILED)(?: \((?P<counts>[a-zA-Z]+=\d+(?:, [a-zA-Z]+=\d+)*)\))?$", re.MULTILINE
)
_FAILED = {"failures", "errors", "unexpectedSuccesses"}
_SKIPPED = {"skips", "expectedFailures"}


@frozen
class Counts:
    """How many tests ended in which way."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def count(output: str, status: int) -> Counts:
    """
    What trial said at the end of its C{output}.

    A run that did not get to its end, or that ended with another C{status} than its words, is a failure.
    """
    said = list(_SUMMARY.finditer(output))
    pairs = (pair.split("=") for pair in ((said[-1]["counts"] or "") if said else "").split(", ") if pair)
    numbers = {name: int(number) for name, number in pairs}
    failed = sum(numbers.get(name, 0) for name in _FAILED)
    if status and not failed or not said:
        failed += 1
    return Counts(numbers.get("successes", 0), failed, sum(numbers.get(name, 0) for name in _SKIPPED))


def modules(tests: Path) -> tuple[list[str], list[str]]:
    """The test modules by name: those that need only this process, and those that touch real things."""
    names = sorted(
        ".".join(path.relative_to(tests.parent).with_suffix("").parts) for path in tests.rglob("test_*.py")
    )
    live = f"{tests.name}.live."
    return [name for name in names if not name.startswith(live)], [n for n in names if n.startswith(live)]


def run(words: Sequence[str]) -> tuple[int, str]:
    """Run C{python -m words} in the root, show what it prints, and give that and its exit status."""
    print("$", *words, flush=True)
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    watchdog = threading.Timer(LONGEST, process.kill)
    watchdog.daemon = True
    watchdog.start()
    lines = []
    with process, process.stdout or open(os.devnull) as output:
        for line in output:
            lines.append(line)
            print(line, end="", flush=True)
    watchdog.cancel()
    return process.returncode, "".join(lines)


def trial(names: Iterable[str], *options: str) -> Counts:
    """Run the tests of some modules; none if there are no modules."""
    names = list(names)
    if not names:
        return Counts()
    status, output = run(["twisted.trial", *options, *names])
    return count(output, status)


def main(names: Sequence[str]) -> int:
    """Run the named test modules, or the checks and everything; the exit status of the process."""
    if names:
        broken, counts = [], trial(names)
    else:
        broken = [" ".join(check) for check in CHECKS if run(check)[0]]
        alone, live = modules(ROOT / "tests")
        jobs = max(2, min(4, os.cpu_count() or 2))
        counts = trial(alone, f"--jobs={jobs}", "--reporter=text") + trial(live, "--reporter=bwverbose")
    for check in broken:
        print(f"{check}: not clean, see above")
    if not counts.passed + counts.failed:
        print("no test ran")
    print(counts, flush=True)
    return int(bool(broken or counts.failed or not counts.passed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
