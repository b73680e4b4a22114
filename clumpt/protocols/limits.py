"""Every bound and every time-out of the wires, in one place."""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import ge, gt


@frozen
class Limits:
    """
    How long to wait, and how much to take; seconds and bytes.

    @ivar connect: for a TCP connection to come about.
    @ivar greeting: from a connection to a whole link, the TLS handshake included.
    @ivar ping: a link on which nothing came for this long, or a little less, is pinged on one of its lines:
        see L{clumpt.protocols.pulse}.
    @ivar missed: so many pings without any sign of life on that line end it.
    @ivar doubt: for an answer, when another call from the same peer makes a line doubtful.
    @ivar request: for the answer to a request.
    @ivar slowest: bytes a second; pieces that come slower are given up.
    @ivar in_flight: the most requests unanswered at one time, each way.
    @ivar burst: requests for anything but pieces that may come at once; C{rate}: those more each second.
    @ivar excess: the most requests beyond those limits, which are told to wait; then the link is ended.
    @ivar at_once: pieces of one link in preparation at one time; bounds memory.
    @ivar early: messages kept for a link that is not whole yet.
    @ivar backlog: bytes that may be told to a peer whose buffers are full.
    @ivar stalled: for full buffers to drain.
    @ivar closing: for a polite good-bye.
    @ivar idle: a link that we dialled and need not keep is closed after this long without use.
    @ivar links: the most links.
    @ivar strangers: the most connections that have not become links yet.
    @ivar strangers_each: the same, from one host.
    @ivar calls: the most peers dialled at one time.
    @ivar first_retry: before a peer is dialled again; doubled with every failure.
    @ivar last_retry: the longest such pause.
    @ivar steady: a link that lasted this long makes earlier failures forgotten.
    """

    connect: float = field(default=3.0, validator=gt(0))
    greeting: float = field(default=10.0, validator=gt(0))
    ping: float = field(default=30.0, validator=gt(0))
    missed: int = field(default=2, validator=ge(1))
    doubt: float = field(default=3.0, validator=gt(0))
    request: float = field(default=30.0, validator=gt(0))
    slowest: int = field(default=16 * 1024, validator=ge(1))
    in_flight: int = field(default=64, validator=ge(1))
    burst: int = field(default=500, validator=ge(1))
    rate: float = field(default=50.0, validator=gt(0))
    excess: int = field(default=1000, validator=ge(1))
    at_once: int = field(default=4, validator=ge(1))
    early: int = field(default=64, validator=ge(0))
    backlog: int = field(default=1024 * 1024, validator=ge(0))
    stalled: float = field(default=60.0, validator=gt(0))
    closing: float = field(default=3.0, validator=gt(0))
    idle: float = field(default=60.0, validator=gt(0))
    links: int = field(default=512, validator=ge(1))
    strangers: int = field(default=512, validator=ge(1))
    strangers_each: int = field(default=128, validator=ge(1))
    calls: int = field(default=64, validator=ge(1))
    first_retry: float = field(default=1.0, validator=gt(0))
    last_retry: float = field(default=60.0, validator=gt(0))
    steady: float = field(default=30.0, validator=gt(0))
