"""
The race: who brings a file to N hosts first?

  python bench/race.py --only clumpt --settings 20x20M@20 --reps 1

Each host is a network namespace whose link is limited each way.  The repetitions of the contestants are
interleaved; every file is hashed again afterwards.  Needs root and Linux.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

# From a checkout, by its path.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.lab.clumpt import Clumpt, ClumptOpen, Shape
from bench.lab.contest import Contestant, Course, File, race
from bench.lab.hosts import Lab, Loopback, Namespaces
from bench.lab.processes import Processes
from bench.lab.setting import Setting

CONTESTANTS: dict[str, type[Contestant]] = {kind.name: kind for kind in (Clumpt, ClumptOpen)}
#: A file system in memory, so that no disk is raced against.
MEMORY = Path("/dev/shm")


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The words on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--settings",
        nargs="+",
        type=Setting.parse,
        default=[Setting(20, 20_000_000, 20)],
        metavar="NxSIZE@MBITS",
        help="peers x size @ Mbit/s, such as 20x20M@20",
    )
    parser.add_argument("--only", nargs="+", choices=sorted(CONTESTANTS), default=list(CONTESTANTS))
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--out", type=Path, help="append each run as a line of JSON to this file")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for one run")
    parser.add_argument("--loopback", action="store_true", help="no namespaces: nothing is limited")
    parser.add_argument("--neighbours", type=int, default=5, help="N of Clumpt's peers")
    parser.add_argument(
        "--initial", type=int, default=20, help="percentage of the peers told by the submitter"
    )
    parser.add_argument("--keep", action="store_true", help="keep the files and logs of each run")
    return parser.parse_args(words)


def line(facts: dict[str, Any]) -> str:
    """One run for people."""
    if not facts["ok"]:
        return f"{facts['contestant']:12} {facts['setting']:12} FAILED {facts['trouble']} {facts['wrong']}"
    told = [
        f"{facts['contestant']:12} {facts['setting']:12} all {facts['all']:.3f} s",
        f"first {facts['first']:.3f} s",
        f"cpu {facts['cpu_per_gb']:.1f} s/GB",
        f"memory {facts['memory_idle']:.0f} -> {facts['memory_peak']:.0f} MB",
        f"machine {100 * facts['busy']:.0f} % busy",
    ]
    if facts["ratio"] is not None:
        told.insert(1, f"= {facts['ratio']:.3f} x fluid {facts['fluid']:.3f} s")
    if facts["seed"] is not None:
        told.append(f"seed {facts['seed']:.2f} x size, excess {100 * facts['excess']:.1f} %")
    return "; ".join(told)


def run_all(options: argparse.Namespace, folder: Path) -> bool:
    """Every setting, repetition and contestant; has everybody got everything?"""
    good = True
    for setting in options.settings:
        lab: Lab = Loopback(setting.peers) if options.loopback else Namespaces(setting.peers, setting.rate)
        try:
            for repetition in range(options.reps):
                for name in options.only:
                    good = run_one(options, lab, setting, CONTESTANTS[name], folder, repetition) and good
        finally:
            lab.close()
    return good


def run_one(
    options: argparse.Namespace,
    lab: Lab,
    setting: Setting,
    kind: type[Contestant],
    folder: Path,
    repetition: int,
) -> bool:
    """One run; has everybody got it?"""
    place = folder / f"{setting.peers}x{setting.size}-{kind.name}-{repetition}"
    place.mkdir()
    file = File.make(place / "package.bin", setting.size)
    course = Course(lab, setting, file, place, Processes(place))
    facts = {**race(kind, course, options.timeout).facts(), "repetition": repetition}
    print(line(facts), flush=True)
    print("   finished:", " ".join(f"{time:.2f}" for time in facts["times"]), flush=True)
    if options.out:
        with options.out.open("a") as out:
            out.write(json.dumps(facts) + "\n")
    if not options.keep:
        shutil.rmtree(place)
    return bool(facts["ok"])


def main() -> int:
    """Race; the exit status is 1 if somebody did not get the right file."""
    options = arguments()
    Clumpt.shape = Shape(options.neighbours, options.initial)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="clumpt-race-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        return 0 if run_all(options, folder) else 1
    except KeyboardInterrupt:
        return 130
    finally:
        if options.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
