"""
TLS over TCP as Twisted has it, for less CPU.

Twisted asks OpenSSL after each segment whether there is anything to read, and
learns by an exception that there is not; twice.  Here it is asked only for
records that are whole, and what it has made is handed to the kernel at once,
if nothing else waits there.
"""

from __future__ import annotations

from typing import Any

from attrs import define
from OpenSSL import SSL
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from twisted.python.failure import Failure

#: The most bytes of ours in a record, and what travels beside them in one, at most.
MOST, AROUND = 2**14, 256
#: Bytes that are handed over together: larger buffers cost the kernel more than they save.
BATCH = 4 * MOST
#: Bytes that are read at a time, if so many are there.
AT_ONCE = 2**18
#: Bytes before the contents of a record; the last two of them are the length of the contents.
HEADER = 5


@define
class Counter:
    """Counts the records in a stream of bytes."""

    #: Bytes of the record that has begun that did not come yet, if its header is here.
    _missing: int = 0
    #: The beginning of a header.
    _start: bytes = b""

    def completed(self, data: bytes) -> int:
        """How many records become whole by C{data}, the next part of the stream."""
        if len(data) < self._missing:
            self._missing -= len(data)
            return 0
        number, at = int(self._missing > 0), self._missing
        if self._start:
            data, at = self._start + data, 0
        while len(data) - at >= HEADER:
            after = at + HEADER + int.from_bytes(data[at + HEADER - 2 : at + HEADER], "big")
            if after > len(data):
                self._missing, self._start = after - len(data), b""
                return number
            number, at = number + 1, after
        self._missing, self._start = 0, data[at:]
        return number


class Records(BufferingTLSTransport):
    """One connection."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._counter = Counter()
        super().__init__(*args, **options)

    def makeConnection(self, transport: Any) -> None:
        """Who is busy finds more to read, and takes it in one turn."""
        transport.bufferSize = AT_ONCE
        super().makeConnection(transport)

    def dataReceived(self, data: bytes) -> None:
        """Take in what came; the application gets what is whole."""
        number = self._counter.completed(data)
        if not self._handshakeDone or self._appSendBuffer:
            super().dataReceived(data)
            return
        self._tlsConnection.bio_write(data)
        parts: list[bytes] = []
        try:
            for _ in range(number):
                parts.append(self._tlsConnection.recv(MOST))
            odd = False
        except SSL.Error:
            # Not an error yet: a record may be for TLS itself.  Twisted knows what to do.
            odd = True
        if parts and not self._aborted:
            # All at once, as much is done for whatever comes.
            ProtocolWrapper.dataReceived(self, b"".join(parts))
        if odd:
            self._flushReceiveBIO()

    def _write(self, data: bytes) -> None:
        if self._lostTLSConnection:
            return
        at = 0
        while at < len(data):
            begun = at
            # What is left over is not worth a packet of its own: a piece and its head go together.
            end = begun + BATCH if len(data) - begun > BATCH + MOST else len(data)
            try:
                while at < end:
                    at += self._tlsConnection.send(data[at : at + MOST])
            except SSL.WantReadError:
                self._bufferedWrite(data[at:])
                data = data[:at]
            except SSL.Error:
                self._tlsShutdownFinished(Failure())
                return
            if at > begun:
                self._pass_on(self._tlsConnection.bio_read(at - begun + AROUND * (2 + BATCH // MOST)))

    def _pass_on(self, made: bytes) -> None:
        """Send what TLS has made: at once if nothing waits there, as waiting takes two more turns."""
        # Any: Twisted's own type has no buffer to look into.
        wire: Any = self.transport
        if getattr(wire, "connected", False) and not (wire.dataBuffer or wire._tempDataBuffer):
            sent = wire.writeSomeData(made)
            if isinstance(sent, int):
                made = made[sent:]
        if made:
            wire.write(made)


class RecordsFactory(TLSMemoryBIOFactory):
    """Makes them."""

    protocol = Records
