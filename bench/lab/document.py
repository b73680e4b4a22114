"""Writes the results of races into a document, between two marked lines, with a picture beside it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from bench.lab import goals
from bench.lab.plot import svg
from bench.lab.report import Facts, tables

BEGIN, END = "<!-- race: written by bench/race.py -->", "<!-- race: end -->"
PICTURE = "race.svg"


def measured(results: Sequence[Facts]) -> str:
    """The part of the document that is measured."""
    machines = "; ".join(dict.fromkeys(facts["machine"] for facts in results))
    dates = sorted(facts["at"][:10] for facts in results)
    when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    elsewhere = statistics.median(facts["elsewhere"] for facts in results)
    first = ", though the race went first" if all(facts["urgent"] for facts in results) else ""
    known = f"Measured {when} on {machines}. Other work took {elsewhere:.0%} of it meanwhile (median){first}."
    parts = [known, goals.table(results)]
    parts += [f"![time to all peers against the size of the file]({PICTURE})", tables(results)]
    return "\n\n".join(part.rstrip() for part in parts)


def spliced(text: str, part: str, first: str = BEGIN, last: str = END) -> str:
    """C{text} with what stands between the marks replaced; raises ValueError if it lacks them."""
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"the document lacks the lines {first} and {last}")
    return f"{before}{first}\n\n{part}\n\n{last}{after}"


def write(path: Path, results: Sequence[Facts]) -> None:
    """Bring the document at C{path} and its picture up to date."""
    path.write_text(spliced(path.read_text(), measured(results)))
    (path.parent / PICTURE).write_text(svg(results))
