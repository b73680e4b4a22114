"""The update protocol (R35-R38): tables, pieces of packages, and who holds which."""

from __future__ import annotations

from clumpt.protocols.line import Greeter, Line, LineFactory
from clumpt.protocols.news import Fed
from clumpt.protocols.requests import UPDATE, Piece
from clumpt.protocols.wires import Wires


class UpdateProtocol(Line):
    """An update line."""

    KINDS = UPDATE

    def __init__(self, wires: Wires, greeter: Greeter) -> None:
        super().__init__(wires, greeter)
        self.expect(-1)
        self.expect_fed(-1)

    def expect(self, size: int) -> None:
        """Take pieces of at most C{size} bytes; none at all for -1."""
        self.frames.allow(Piece.KIND, Piece.HEAD.size + size)

    def expect_fed(self, size: int) -> None:
        """The same for pieces that were not asked for one by one."""
        self.frames.allow(Fed.KIND, Fed.HEAD.size + size)


class UpdateFactory(LineFactory):
    """Makes update lines."""

    protocol = UpdateProtocol
