"""
Is the peer still there?  Asked on each link with as few words as will do, and at as few moments.

A daemon with nothing to do does little but this, and what takes a processor
is above all to be woken: the first word after a rest takes several times as
long as those that follow at once.  So what will be due soon is done when this
peer is awake anyway; and as it does so when another asks it, and wakes others
by it, the peers of a cluster fall into step.

The lines of a link lead from one host to another and nearly always die
together: a sign of life on one speaks for both, and of the two ends the one
that dialled asks, the other only if that does not.  But a firewall on the way
may forget one line, some after four minutes in which nothing came, and a word
now and then makes it remember: so the lines take turns.
"""

from __future__ import annotations

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from clumpt.errors import ProtocolError
from clumpt.protocols.alarm import Alarm
from clumpt.protocols.limits import Limits
from clumpt.protocols.line import Line
from clumpt.protocols.messages import Ping

#: Parts of the interval after which to ask: who dialled, and who was called.
DIALLED, CALLED = 0.8, 1.0
#: The same for who is awake anyway.  Who was called does so only up to a later part: a link that was quiet
#: for longer is in step, and who dialled asks at the same moment.
AWAKE, IN_STEP = 0.4, 0.7
#: What is due within this part of the interval is due.
_SLACK = 1 / 30


@define(eq=False)
class Pulse:
    """
    Pings the line of one link on which nothing came for longest, and ends it if it is silent.

    It is time when for one interval nothing came on either line, or for two
    nothing came on one.  So a dead peer is noticed after C{1 + missed} intervals
    at the latest, a dead line beside one that lives after C{2 + missed}.
    """

    _limits: Limits
    _lines: tuple[Line, Line]
    _dialled: bool
    #: What was asked and was not seen to answer, since when, and how often.
    _asked: Line | None = field(default=None, init=False)
    _since: float = field(default=0.0, init=False)
    _missed: int = field(default=0, init=False)

    def look(self, now: float) -> float:
        """Ask, if it is time; say when to look again."""
        interval = self._limits.ping
        soon = now + _SLACK * interval
        # Anything is an answer: the pong may have to wait behind a large piece.
        if self._asked is not None and self._asked.heard < self._since:
            if soon < self._since + interval:
                return self._since + interval
            return self._ask(self._asked, now)
        self._missed = 0
        earlier, later = sorted(line.heard for line in self._lines)
        quiet = min(later, earlier + interval)
        if soon >= quiet + self._patience or self._ahead((now - quiet) / interval):
            return self._ask(min(self._lines, key=lambda line: line.heard), now)
        return quiet + self._patience

    def _ahead(self, part: float) -> bool:
        """Ask now, as this peer is awake, if the link has been quiet for this part of the interval?"""
        return part >= AWAKE and (self._dialled or part < IN_STEP)

    @property
    def _patience(self) -> float:
        return (DIALLED if self._dialled else CALLED) * self._limits.ping

    def _ask(self, line: Line, now: float) -> float:
        if self._missed >= self._limits.missed:
            line.refuse(ProtocolError(f"no sign of life for {now - line.heard:.0f} s"))
        else:
            self._missed += 1
            self._asked, self._since = line, now
            line.send(Ping())
        # As if it answered at once; until it does, the next look finds out how long to wait.
        return now + self._patience


@define(eq=False)
class Pulses:
    """Those of all links of a peer, with one timer."""

    _clock: IReactorTime
    _limits: Limits
    _alarm: Alarm = field(init=False)
    _pulses: dict[Pulse, None] = field(factory=dict, init=False)
    _looked: float = field(default=float("-inf"), init=False)

    def __attrs_post_init__(self) -> None:
        self._alarm = Alarm(self._clock)

    def add(self, lines: tuple[Line, Line], dialled: bool) -> Pulse:
        """Look after a new link."""
        pulse = Pulse(self._limits, lines, dialled)
        self._pulses[pulse] = None
        self._look()
        return pulse

    def remove(self, pulse: Pulse) -> None:
        """The link is gone."""
        self._pulses.pop(pulse, None)
        if not self._pulses:
            self._alarm.stop()

    def awake(self) -> None:
        """Another peer has woken this one to ask it: do what would be due soon."""
        if self._clock.seconds() - self._looked >= _SLACK * self._limits.ping:
            self._look()

    def _look(self) -> None:
        self._looked = now = self._clock.seconds()
        # In a list, as who is silent is dropped meanwhile.
        again = [pulse.look(now) for pulse in list(self._pulses)]
        if self._pulses:
            self._alarm.set(min(again) - now, self._look)
