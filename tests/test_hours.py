"""Rates by the time of day: L{clumpt.hours} and L{clumpt.agent.rate} (R7)."""

from __future__ import annotations

import os
import time
from pathlib import Path
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.rate import Bucket, minute_of_day
from clumpt.hours import DAY, HOURS, Hours, Span

#: Seconds of one day, by which each minute can be tried.
MINUTE = 60
#: 2026-03-29 00:00 and 2026-10-25 00:00 UTC: at 01:00 UTC of both, clocks in Berlin are changed.
SPRING, AUTUMN = 1774742400, 1792886400


@st.composite
def hours(draw: st.DrawFn) -> Hours:
    """Hours that do not overlap, over midnight or not."""
    shift = draw(st.integers(0, DAY - 1))
    edges = sorted(draw(st.sets(st.integers(0, DAY - 1), max_size=8)))
    pairs = zip(edges[::2], edges[1::2], strict=False)
    rates = st.integers(0, 2**40)
    return Hours(tuple(Span((a + shift) % DAY, (b + shift) % DAY, draw(rates)) for a, b in pairs))


class HoursTests(SynchronousTestCase):
    """Which rate holds when."""

    def test_boundaries(self) -> None:
        """From the first minute on, and not in the first one after."""
        rates = Hours.parse("08:00-18:00 2k, 22:00-06:00 0")
        for at, rate in (
            ("07:59", 9.0),
            ("08:00", 2048),
            ("17:59", 2048),
            ("18:00", 9.0),
            ("21:59", 9.0),
            ("22:00", 0),
            ("23:59", 0),
            ("00:00", 0),
            ("05:59", 0),
            ("06:00", 9.0),
        ):
            hour, minute = map(int, at.split(":"))
            self.assertEqual(rates.rate(hour * 60 + minute, 9.0), rate, at)

    def test_whole_day(self) -> None:
        """From midnight to midnight is written as 24:00; the whole day is what upload itself is for."""
        self.assertEqual(Hours.parse("12:00-24:00 1k").rate(DAY - 1, 0), 1024)
        self.assertEqual(Hours.parse("12:00-24:00 1k").rate(0, 7), 7)
        self.assertRaises(ValueError, Hours.parse, "06:00-06:00 1k")

    @given(hours())
    def test_text(self, made: Hours) -> None:
        """What is written is read again."""
        self.assertEqual(HOURS.parse(HOURS.write(made), Path()), made)

    @given(hours(), st.integers(0, DAY - 1))
    def test_one(self, made: Hours, minute: int) -> None:
        """At no time two rates hold."""
        self.assertLessEqual(sum(minute in span for span in made.spans), 1)

    @given(st.lists(st.tuples(st.integers(0, DAY - 1), st.integers(0, DAY - 1)), min_size=2, max_size=3))
    def test_overlap(self, spans: list[tuple[int, int]]) -> None:
        """Hours that overlap are refused, and others are not."""
        text = ", ".join(str(Span(begin, end, 1)) for begin, end in spans)
        minutes = [minute for begin, end in spans for minute in range(DAY) if minute in Span(begin, end, 1)]
        good = len(minutes) == len(set(minutes)) and all(begin != end for begin, end in spans)
        try:
            Hours.parse(text)
        except ValueError:
            self.assertFalse(good, text)
        else:
            self.assertTrue(good, text)


class ClockTests(SynchronousTestCase):
    """A bucket whose rate changes while time passes, without a restart."""

    def setUp(self) -> None:
        self.wall = 0.0
        self.zone("UTC")

    def zone(self, name: str) -> None:
        """Live in this time zone."""
        changed = mock.patch.dict(os.environ, {"TZ": name})
        changed.start()
        self.addCleanup(time.tzset)
        self.addCleanup(changed.stop)
        time.tzset()

    def bucket(self, rate: float, hours: str) -> Bucket:
        return Bucket(rate, Hours.parse(hours), lambda: minute_of_day(self.wall))

    def sent(self, bucket: Bucket, begin: float, seconds: int) -> float:
        """How many bytes go through from C{begin} on, taken one after the other as soon as they may go."""
        now, amount = begin, 0
        while now < begin + seconds:
            self.wall = now
            pause = bucket.take(1000, now)
            if pause > seconds:
                break
            amount += 1000
            now += max(pause, 0.1)
        return amount

    def test_over_a_day(self) -> None:
        """Each hour of a day, midnight included, has its rate from its first minute on."""
        bucket = self.bucket(4000, "08:00-18:00 1000, 23:00-01:00 2000")
        rates = {7: 4000, 8: 1000, 17: 1000, 18: 4000, 22: 4000, 23: 2000, 24: 2000, 25: 4000}
        for begin, rate in rates.items():
            # What one could save up before, or owes still, is that of a second.
            sent = self.sent(bucket, begin * 3600.0, 60)
            self.assertLess(abs(sent / 60 - rate), rate / 6, begin)

    def test_across(self) -> None:
        """The minute before and the minute after a boundary are told apart while something is sent."""
        bucket = self.bucket(4000, "08:00-18:00 1000")
        sent = self.sent(bucket, 8 * 3600.0 - 60, 120)
        self.assertLess(abs(sent - 60 * 4000 - 60 * 1000), 8000)

    def test_no_limit_at_night(self) -> None:
        """A rate of 0 at some hours lifts the limit, and it is back after them."""
        bucket = self.bucket(1000, "22:00-06:00 0")
        self.wall = 22 * 3600.0
        self.assertEqual(bucket.take(10**12, self.wall), 0.0)
        self.wall = 30 * 3600.0
        bucket.take(1000, self.wall)
        self.assertGreater(bucket.take(10_000, self.wall), 1.0)

    def test_reload(self) -> None:
        """Other hours hold as soon as they are given."""
        bucket = self.bucket(1000, "")
        bucket.hours = Hours.parse("00:00-12:00 0")
        self.assertEqual(bucket.take(10**9, 0.0), 0.0)

    def test_local(self) -> None:
        """The hours are those of the node's time zone, as they are that day."""
        self.zone("Asia/Kolkata")
        self.assertEqual(minute_of_day(0), 5 * 60 + 30)

    def test_summer_time(self) -> None:
        """In spring the hour that does not exist has no rate; in autumn the one that comes twice has two."""
        self.zone("Europe/Berlin")
        rates = Hours.parse("02:00-03:00 1k")
        for midnight, minutes in ((SPRING, 0), (AUTUMN, 120)):
            day = range(midnight - 3600, midnight + 24 * 3600, MINUTE)
            self.assertEqual(sum(rates.rate(minute_of_day(at), 0) == 1024 for at in day), minutes)
