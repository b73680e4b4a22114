"""Listening for calls, at one port for each protocol."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IReactorTCP

from clumpt.aio import deferred
from clumpt.errors import BadInput
from clumpt.protocols.notify import NotifyFactory
from clumpt.protocols.reception import Reception
from clumpt.protocols.update import UpdateFactory
from clumpt.protocols.wires import Wires

#: Connections that the kernel may hold for us: a whole rack may come back from a power cut.
BACKLOG = 512


@define(eq=False)
class Listener:
    """Two open ports."""

    _reactor: IReactorTCP
    _wires: Wires
    _reception: Reception
    _ports: list[IListeningPort] = field(factory=list, init=False)

    @deferred
    async def start(self, host: str, ports: tuple[int, int]) -> tuple[int, int]:
        """
        Open both ports.

        @return: fires with their numbers, or fails with L{BadInput} if one cannot be had.
        """
        try:
            notify = self._listen(host, ports[0], NotifyFactory(self._wires, self._reception))
            update = self._listen(host, ports[1], UpdateFactory(self._wires, self._reception))
        except CannotListenError as wrong:
            await self.stop()
            raise BadInput(
                f"cannot listen at port {wrong.port} of {wrong.interface or 'this node'}: {wrong.socketError}"
                "; is another Clumpt peer running here? else give another port"
            ) from wrong
        return notify, update

    @deferred
    async def stop(self) -> None:
        """Close both ports."""
        while self._ports:
            await maybeDeferred(self._ports.pop().stopListening)

    def _listen(self, host: str, number: int, factory: IProtocolFactory) -> int:
        # Any: Twisted's types want a factory of their own class, and know no number in an address.
        served: Any = self._wires.security.server(factory)
        port = self._reactor.listenTCP(number, served, BACKLOG, host)
        self._ports.append(port)
        address: Any = port.getHost()
        return int(address.port)
