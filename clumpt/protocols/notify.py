"""The notification protocol (R32-R34): news of updates, never behind the bytes of a package."""

from __future__ import annotations

from clumpt.protocols.line import Line, LineFactory
from clumpt.protocols.messages import NOTIFICATION


class NotifyProtocol(Line):
    """A notification line."""

    KINDS = NOTIFICATION


class NotifyFactory(LineFactory):
    """Makes notification lines."""

    protocol = NotifyProtocol
