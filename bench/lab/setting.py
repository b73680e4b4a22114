"""What is raced over: how many peers, how large a file, how fast a network."""

from __future__ import annotations

import re

from attrs import frozen

#: Bytes of payload in a packet of TCP, and bytes that it takes on the wire.
PAYLOAD, PACKET = 1448, 1514

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
_WRITTEN = re.compile(r"(\d+)x(\d+(?:\.\d+)?)([KMG]?)@(\d+(?:\.\d+)?)")


@frozen
class Setting:
    """
    One race course.

    @ivar peers: N, those who want the file.
    @ivar size: bytes in the file.
    @ivar rate: Mbit/s of every link, each way; 0 for no limit.
    """

    peers: int
    size: int
    rate: float

    @classmethod
    def parse(cls, text: str) -> Setting:
        """What is written as C{20x20M@20}: peers, size (powers of 1000) and Mbit/s; raises ValueError."""
        found = _WRITTEN.fullmatch(text)
        if found is None or int(found[1]) < 1:
            raise ValueError(f"{text!r} is no setting; write peers x size @ Mbit/s, such as 20x20M@20")
        return cls(int(found[1]), round(float(found[2]) * _UNITS[found[3]]), float(found[4]))

    def __str__(self) -> str:
        unit = next(unit for unit in "GMK" if self.size >= _UNITS[unit] or unit == "K")
        return f"{self.peers}x{self.size / _UNITS[unit]:g}{unit}@{self.rate:g}"

    @property
    def goodput(self) -> float:
        """Bytes of payload that a link carries in a second."""
        return self.rate * 1e6 / 8 * PAYLOAD / PACKET

    @property
    def fluid(self) -> float | None:
        """
        Seconds below which nobody can bring the file to all, if bits were a fluid.

        With equal links the three limits (what the source must send once, what a peer must receive, what
        all together can send) are the same; see Kumar and Ross, 2006.  None without a limit of the links.
        """
        return self.size / self.goodput if self.rate else None
