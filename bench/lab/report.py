"""The results of races as a table in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Facts = Mapping[str, Any]
Key = tuple[str, str, str]

_HEAD = (
    "contestant",
    "runs",
    "to all, s (least-most)",
    "x fluid",
    "last/first",
    "seed sent",
    "beyond one copy",
    "CPU s/GB",
    "memory MB",
    "busy",
)


def grouped(results: Iterable[Facts]) -> dict[tuple[str, str], dict[str, list[Facts]]]:
    """The runs by setting and fault, and within them by contestant, all in the order in which they came."""
    made: dict[tuple[str, str], dict[str, list[Facts]]] = {}
    for facts in results:
        course = made.setdefault((facts["setting"], facts["fault"]), {})
        course.setdefault(facts["contestant"], []).append(facts)
    return made


def median(runs: Sequence[Facts], key: str) -> float | None:
    """The median of a number of those runs in which everybody got everything."""
    values = [facts[key] for facts in runs if facts["ok"] and facts[key] is not None]
    return statistics.median(values) if values else None


def tables(results: Sequence[Facts]) -> str:
    """A table for each setting."""
    groups = grouped(results)
    parts = []
    for (setting, fault), contestants in groups.items():
        fluid = next(iter(contestants.values()))[0]["fluid"]
        title = f"**{setting}**" + (f", {fault}" if fault else "")
        limit = f" (fluid limit {fluid:.4g} s)" if fluid else ""
        rows = [_row(name, runs) for name, runs in contestants.items()]
        head = [_line(_HEAD), _line(["---"] * len(_HEAD))]
        parts.append("\n".join([title + limit, "", *head, *rows]))
    return "\n\n".join(parts) + "\n"


def _row(name: str, runs: Sequence[Facts]) -> str:
    good = [facts for facts in runs if facts["ok"]]
    count = f"{len(good)}/{len(runs)}"
    if not good:
        return _line([name, count, *["-"] * (len(_HEAD) - 2)])
    times = sorted(facts["all"] for facts in good)
    spread = statistics.median(facts["all"] / facts["first"] for facts in good)
    return _line(
        [
            name,
            count,
            f"{statistics.median(times):.3f} ({times[0]:.3f}-{times[-1]:.3f})",
            _number(median(runs, "ratio"), ".2f"),
            f"{spread:.2f}",
            _number(median(runs, "seed"), ".2f"),
            _number(median(runs, "excess"), ".1%"),
            _number(median(runs, "cpu_per_gb"), ".1f"),
            _number(median(runs, "memory_peak"), ".0f"),
            _number(median(runs, "busy"), ".0%"),
        ]
    )


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
