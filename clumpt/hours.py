"""Rates that hold at some hours of the day, such as C{08:00-18:00 2M, 22:00-06:00 0}.  Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from attrs import field, frozen
from attrs.validators import ge, lt

from clumpt.kinds import SIZE, Kind

#: Minutes of a day.
DAY = 24 * 60
_SPAN = re.compile(r"(\d{1,2}):(\d\d)-(\d{1,2}):(\d\d)\s+(\S+)")


@frozen
class Span:
    """
    Some hours of each day, by the clock on the wall.

    @ivar begin: the first minute of them, counted from midnight.
    @ivar end: the first minute after them; before C{begin}, if they go over midnight.
    @ivar rate: bytes a second at that time, 0 for no limit.
    """

    begin: int = field(validator=[ge(0), lt(DAY)])
    end: int = field(validator=[ge(0), lt(DAY)])
    rate: int = field(validator=ge(0))

    def __contains__(self, minute: int) -> bool:
        return (minute - self.begin) % DAY < (self.end - self.begin) % DAY

    def __str__(self) -> str:
        begin, end = (f"{minute // 60:02}:{minute % 60:02}" for minute in (self.begin, self.end))
        return f"{begin}-{end} {SIZE.write(self.rate)}"


@frozen
class Hours:
    """Hours of the day that do not overlap."""

    spans: tuple[Span, ...] = ()

    def rate(self, minute: int, otherwise: float) -> float:
        """
        Bytes a second at a minute of the day, 0 for no limit.

        @param otherwise: the rate at all other hours.
        """
        return next((span.rate for span in self.spans if minute in span), otherwise)

    def __str__(self) -> str:
        return ", ".join(map(str, self.spans))

    @classmethod
    def parse(cls, text: str) -> Hours:
        """What C{str} wrote; raises ValueError, which says what is wrong if it is no matter of form."""
        spans = [_span(part.strip()) for part in text.split(",")] if text.strip() else []
        _check(spans)
        return cls(tuple(spans))


def _span(text: str) -> Span:
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError
    begin, end = _minute(match[1], match[2]), _minute(match[3], match[4])
    if begin == end:
        raise ValueError(f"hours that end after they begin; {text.split()[0]} does not")
    return Span(begin % DAY, end % DAY, SIZE.parse(match[5], Path()))


def _minute(hour: str, minute: str) -> int:
    made = int(hour) * 60 + int(minute)
    if int(minute) > 59 or made > DAY:
        raise ValueError(f"times from 00:00 to 24:00, not {hour}:{minute}")
    return made


def _check(spans: Sequence[Span]) -> None:
    for number, one in enumerate(spans):
        for other in spans[:number]:
            if one.begin in other or other.begin in one:
                first, second = (str(span).split()[0] for span in (other, one))
                raise ValueError(f"hours that do not overlap; {first} and {second} do")


HOURS: Kind[Hours] = Kind(
    "hours of the day and their rates, such as 08:00-18:00 2M, 22:00-06:00 0",
    lambda text, _: Hours.parse(text),
    str,
)
