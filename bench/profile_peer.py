"""
Where Clumpt's peers spend their CPU time in a race, and what they say to each other:

  python bench/profile_peer.py [--setting 20x20M@20] [--loopback]

All peers are looked at from their start to their end, so what they do before the race is in it as well:
choose a file that is large enough.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

# From a checkout, by its path.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.lab import counting, sampler
from bench.lab.clumpt import Clumpt
from bench.lab.contest import Course, File
from bench.lab.hosts import Lab, Loopback, Namespaces
from bench.lab.processes import Processes
from bench.lab.run import race
from bench.lab.setting import Setting


class Looked(Clumpt):
    """Clumpt, with every daemon being looked at."""

    name = "clumpt-looked-at"
    before = (
        "from pathlib import Path; from twisted.internet import reactor;"
        "from bench.lab import counting, sampler;"
        "at_end = lambda end: reactor.addSystemEventTrigger('after', 'shutdown', end);"
        "sampler.start(Path('looks.json'), at_end); counting.start(Path('counts.json'), at_end);"
    )


def main() -> None:
    """Race once, and print where the time went."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--setting", type=Setting.parse, default=Setting(20, 20_000_000, 20))
    parser.add_argument("--loopback", action="store_true", help="no namespaces: nothing is limited")
    parser.add_argument("--urgent", action="store_true", help="other work of this machine waits meanwhile")
    options = parser.parse_args()
    setting = options.setting
    lab: Lab = Loopback(setting.peers) if options.loopback else Namespaces(setting.peers, setting.rate)
    with tempfile.TemporaryDirectory(prefix="clumpt-race-", dir="/dev/shm") as name:
        folder = Path(name)
        try:
            file = File.make(folder / "package.bin", setting.size)
            course = Course(lab, setting, file, folder, Processes(folder), urgent=options.urgent)
            print(race(Looked, course, 300.0).facts())
        finally:
            lab.close()
        print(sampler.table(folder.glob("host*/looks.json")))
        print(counting.table(folder.glob("host*/counts.json")))


if __name__ == "__main__":
    main()
