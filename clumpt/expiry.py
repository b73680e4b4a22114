"""The near end of a node's certificate, as the node tells it in its status, and as others read it there."""

from __future__ import annotations

from datetime import UTC, datetime

#: Seconds before its end from which on a certificate is warned of.
SOON = 30 * 86400.0

_TOLD = "its certificate ends on %Y-%m-%d %H:%M UTC"


def worry(ends: float, now: float) -> str:
    """What to say of a certificate that C{ends} soon or has ended (seconds since the epoch), else nothing."""
    return datetime.fromtimestamp(ends, UTC).strftime(_TOLD) if ends - now < SOON else ""


def told(text: str) -> float | None:
    """The end that L{worry} told, to the minute; None if C{text} says something else."""
    try:
        return datetime.strptime(text, _TOLD).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
