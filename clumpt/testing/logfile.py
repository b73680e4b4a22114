"""A log file in memory that loses, at a crash, what a disk may lose."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define, field
from zope.interface import implementer

from clumpt.ldap.embedded.log import ILogFile


@implementer(ILogFile)
@define(eq=False)
class MemoryLogFile:
    """
    A file whose durable part survives L{crash}.

    @ivar failing: the names of the methods that raise L{OSError} from now on.
    @ivar syncs: how often something was made durable.
    """

    _durable: bytearray = field(factory=bytearray, converter=bytearray)
    failing: set[str] = field(factory=set)
    syncs: int = 0
    _written: bytes = b""
    _aside: bytes = b""

    @property
    def durable(self) -> bytes:
        """What is on the disk for certain."""
        return bytes(self._durable)

    def _may_fail(self, name: str) -> None:
        if name in self.failing:
            raise OSError(28, "No space left on device")

    def read(self) -> bytes:
        """All that is in it."""
        self._may_fail("read")
        return self.durable + self._written

    def cut(self, size: int) -> None:
        """Keep only the first C{size} bytes."""
        self._may_fail("cut")
        self._durable, self._written = bytearray(self.read()[:size]), b""

    def append(self, data: bytes) -> None:
        """Write C{data} at the end."""
        self._may_fail("append")
        self._written += data

    def sync(self) -> None:
        """Make durable what was appended."""
        self._may_fail("sync")
        self._durable += self._written
        self._written = b""
        self.syncs += 1

    def write_aside(self, data: Iterable[bytes]) -> None:
        """Write another file."""
        self._may_fail("write_aside")
        self._aside = b"".join(data)

    def swap(self) -> None:
        """Put the other file in the place of this one."""
        self._may_fail("swap")
        self._durable, self._written, self._aside = bytearray(self._aside), b"", b""

    def close(self) -> None:
        """Let go of the file."""

    def crash(self, kept: int = 0) -> MemoryLogFile:
        """What is there after a power cut: the durable part, and the first C{kept} bytes of the rest."""
        return MemoryLogFile(self.durable + self._written[:kept])
