"""
The race: who brings a file to N hosts first?

  python bench/race.py --only clumpt --settings 20x20M@20 --reps 1

Each host is a network namespace whose link is limited each way.  The repetitions of the contestants are
interleaved; every file is hashed again afterwards.  Needs root and Linux; what a rival needs and is not
installed is told, and that rival is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# From a checkout, by its path.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.lab import document, goals
from bench.lab.clumpt import Clumpt, ClumptOpen, Shape
from bench.lab.contest import Contestant, Course, Fault, File
from bench.lab.hosts import Lab, Loopback, Namespaces
from bench.lab.machine import described
from bench.lab.processes import Processes
from bench.lab.report import tables
from bench.lab.rivals import Chain, Http, Rsync, Udpcast
from bench.lab.run import race
from bench.lab.setting import Setting
from bench.lab.torrents import Aria2, Libtorrent, LibtorrentTuned

_KINDS: tuple[type[Contestant], ...] = (
    Clumpt,
    ClumptOpen,
    Http,
    Rsync,
    Aria2,
    Libtorrent,
    LibtorrentTuned,
    Udpcast,
    Chain,
)
CONTESTANTS = {kind.name: kind for kind in _KINDS}
FAULTS = ("none", "dead", "killed", "slow")
#: 20 peers at 20 Mbit/s are what two cores can simulate; at 100 Mbit/s they are the limit themselves.
SETTINGS = "5x20K@100 20x20K@100 5x10M@100 20x10M@100 5x100M@100 20x100M@100 20x20M@20"
#: A file system in memory, so that no disk is raced against.
MEMORY, PREFIX = Path("/dev/shm"), "clumpt-race-"


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The words on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--settings", nargs="+", type=Setting.parse, default=[*map(Setting.parse, SETTINGS.split())],
        metavar="NxSIZE@MBITS", help="peers x size @ Mbit/s; 0 is no limit")  # fmt: skip
    add("--only", nargs="+", choices=list(CONTESTANTS), default=list(CONTESTANTS))
    add("--faults", nargs="+", choices=FAULTS, default=["none"])
    add("--reps", type=int, default=3)
    add("--timeout", type=float, default=400.0, help="seconds for one run")
    add("--out", type=Path, help="append each run as a line of JSON to this file")
    add("--results", type=Path, help="race not, but show what --out has written")
    add("--document", type=Path, help="write goals, tables and plot into this document, docs/performance.md")
    add("--loopback", action="store_true", help="no namespaces: nothing is limited, and nobody need be root")
    add("--neighbours", type=int, default=Shape().neighbours, help="N of Clumpt's peers")
    add("--initial", type=int, default=Shape().initial, help="percentage of peers that the submitter tells")
    add("--urgent", action="store_true", help="while a race runs, other work of this machine waits; as root")
    add("--keep", action="store_true", help="keep the files and logs of each run")
    return parser.parse_args(words)


def present(names: Sequence[str]) -> list[type[Contestant]]:
    """Those contestants whose programs are here."""
    kinds, lacking = [], set()
    for kind in (CONTESTANTS[name] for name in names):
        missing = {
            package
            for program, package in kind.needs.items()
            if not (shutil.which(program) or Path(program).exists())
        }
        lacking |= missing
        if missing:
            print(f"without {kind.name}: it needs {', '.join(sorted(missing))}", flush=True)
        else:
            kinds.append(kind)
    if lacking:
        print(f"on Debian: apt-get install {' '.join(sorted(lacking))}", flush=True)
    return kinds


def line(facts: dict[str, Any]) -> str:
    """One run for people."""
    name = f"{facts['contestant']:16} {facts['setting']:12} {facts['fault']:6}"
    if not facts["ok"]:
        return f"{name} FAILED {facts['trouble']} {facts['wrong'] or ''}"
    told = [
        f"{name} all {facts['all']:.3f} s",
        f"first {facts['first']:.3f} s",
        f"cpu {facts['cpu_per_gb']:.1f} s/GB, {facts['cpu_peer_per_gb']:.1f} in a peer",
        f"memory {facts['memory_idle']:.0f} -> {facts['memory_peak']:.0f} MB",
        f"machine {facts['busy']:.0%} busy",
    ]
    if facts["ratio"] is not None:
        told.insert(1, f"= {facts['ratio']:.3f} x fluid {facts['fluid']:.3f} s")
    if facts["seed"] is not None:
        told.append(f"seed {facts['seed']:.2f} x size, {facts['excess']:.1%} beyond one copy")
    return "; ".join(told)


def races(options: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """Every setting, repetition, fault and contestant."""
    kinds = present(options.only)
    for setting in options.settings:
        lab: Lab = Loopback(setting.peers) if options.loopback else Namespaces(setting.peers, setting.rate)
        try:
            for repetition in range(options.reps):
                for fault in options.faults:
                    for kind in kinds:
                        planned = Fault.plan(fault if fault != "none" else "", setting.peers)
                        facts = run_one(options, lab, setting, planned, kind, folder)
                        yield {**facts, "repetition": repetition, "machine": described()}
        finally:
            lab.close()


def run_one(
    options: argparse.Namespace,
    lab: Lab,
    setting: Setting,
    fault: Fault,
    kind: type[Contestant],
    folder: Path,
) -> dict[str, Any]:
    """One run, in a folder of its own."""
    place = Path(tempfile.mkdtemp(prefix=f"{kind.name}-", dir=folder))
    file = File.make(place / "package.bin", setting.size)
    try:
        course = Course(lab, setting, file, place, Processes(place), fault, options.urgent)
        return race(kind, course, options.timeout).facts()
    finally:
        if not options.keep:
            shutil.rmtree(place)


def sweep(parent: Path) -> None:
    """Remove the files of races that were killed."""
    for folder in parent.glob(f"{PREFIX}*-*"):
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(folder)


def race_all(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Race, and tell of each run at once."""
    results = []
    parent = MEMORY if MEMORY.is_dir() else Path(tempfile.gettempdir())
    sweep(parent)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent))
    try:
        for facts in races(options, folder):
            results.append(facts)
            print(line(facts), flush=True)
            print("   finished:", " ".join(f"{time:.2f}" for time in facts["times"]), flush=True)
            if options.out:
                with options.out.open("a") as out:
                    out.write(json.dumps(facts) + "\n")
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    finally:
        if options.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder)
    return results


def main() -> int:
    """Race; the exit status is 1 if somebody did not get the right file."""
    options = arguments()
    Clumpt.shape = Shape(options.neighbours, options.initial)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if options.results:
        results = [json.loads(line) for line in options.results.read_text().splitlines()]
    else:
        results = race_all(options)
    if not results:
        return 1
    print(f"\n{tables(results)}\n{goals.table(results)}")
    if options.document:
        document.write(options.document, results)
    return 0 if all(facts["ok"] for facts in results) else 1


if __name__ == "__main__":
    sys.exit(main())
