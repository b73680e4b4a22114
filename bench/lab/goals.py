"""What Clumpt is to reach in the race, and whether it did."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from bench.lab.report import Facts, grouped, median

#: Ours, and the setting in which two cores are enough for twenty peers.
_OURS, _FAIR = "clumpt", "20x20M@20"


@frozen
class Goal:
    """
    A number that must not be larger than another.

    @ivar key: of the facts of a run.
    @ivar most: the largest that is good.
    @ivar fault: what went wrong in the runs that it is about.
    @ivar over: subtract, or divide by, the same number of other runs: C{idle} memory, or C{faultless} runs.
    """

    text: str
    setting: str
    key: str
    most: float
    unit: str = ""
    contestant: str = _OURS
    fault: str = ""
    over: str = ""


_SHORT, _LONG = "time over the fluid limit", "time of the others, over that without faults"

GOALS = (
    Goal(f"20 peers, 20 MB, 20 Mbit/s: {_SHORT}", _FAIR, "ratio", 1.10),
    Goal(f"20 peers, 10 MB, 100 Mbit/s: {_SHORT}", "20x10M@100", "ratio", 1.5),
    Goal(f"5 peers, 10 MB, 100 Mbit/s: {_SHORT}", "5x10M@100", "ratio", 1.15),
    Goal(f"5 peers, 100 MB, 100 Mbit/s: {_SHORT}", "5x100M@100", "ratio", 1.08),
    Goal("20 kB to 20 peers, all links open", "20x20K@100", "all", 0.030, " s", "clumpt-open"),
    Goal("20 kB to 20 peers, the submitter dials first", "20x20K@100", "all", 0.200, " s"),
    Goal("bytes that the submitter sends, over the size of the file", _FAIR, "seed", 1.3),
    Goal("received beyond one copy, protocol and all", _FAIR, "excess", 0.02),
    Goal(f"a quarter is off: {_LONG}", _FAIR, "all", 1.3, fault="dead", over="faultless"),
    Goal(f"a quarter loses power half-way: {_LONG}", _FAIR, "all", 1.3, fault="killed", over="faultless"),
    Goal(f"one link carries a tenth: {_LONG}", _FAIR, "all", 1.1, fault="slow", over="faultless"),
    Goal("memory while 1 GB goes through, over that before", "3x1G@0", "memory_peak", 40, " MB", over="idle"),
    Goal("CPU for 1 GB through a peer", "3x1G@0", "cpu_peer_per_gb", 3, " s"),
)


def reached(goal: Goal, results: Sequence[Facts]) -> float | None:
    """The median that was measured; None if it was not."""
    groups = grouped(results)
    runs = groups.get((goal.setting, goal.fault), {}).get(goal.contestant, [])
    value = median(runs, goal.key)
    if value is None or not goal.over:
        return value
    if goal.over == "idle":
        idle = median(runs, "memory_idle")
        return None if idle is None else value - idle
    without = median(groups.get((goal.setting, ""), {}).get(goal.contestant, []), goal.key)
    return None if without is None else value / without


def table(results: Sequence[Facts]) -> str:
    """All goals that these results speak of, in Markdown."""
    rows = ["| goal | at most | measured | |", "| --- | --- | --- | --- |"]
    for goal in GOALS:
        value = reached(goal, results)
        if value is not None:
            met = "reached" if value <= goal.most else "missed"
            rows.append(f"| {goal.text} | {goal.most:g}{goal.unit} | {value:.3g}{goal.unit} | {met} |")
    return "\n".join(rows) + "\n"
