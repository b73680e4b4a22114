"""docs/protocol.md says what is true."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from clumpt.idset import IdSet
from clumpt.model import PeerName
from clumpt.pieces import Round, digest_of
from clumpt.protocols import messages, news, requests
from clumpt.protocols.framing import FrameBuffer
from clumpt.protocols.limits import Limits
from clumpt.protocols.messages import NOTIFICATION, Message
from clumpt.protocols.requests import UPDATE
from clumpt.trees import Branch

DOCUMENT = Path(__file__).parent.parent / "docs" / "protocol.md"
SECTION = re.compile(r"^### `0x([0-9a-f]{2})` (\w+)$(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
EXAMPLE = re.compile(r"^```hex\n(.*?)^```$", re.MULTILINE | re.DOTALL)

PACKAGE = digest_of(b"a package")
EXAMPLES: list[Message] = [
    messages.Hello((1,), "lab", 7, digest_of(b"update 7"), b"member", "00c0ffee00c0ffee"),
    messages.Ping(),
    messages.Pong(),
    messages.Notify((b"envelope",), IdSet.upto(7), 7),
    messages.Ack(7),
    messages.Reload(),
    requests.WantTable(1, IdSet.of([1, 2, 3, 5])),
    requests.Table(1, (b"envelope",)),
    requests.WantIds(2),
    requests.Ids(2, IdSet.upto(7)),
    requests.WantHashes(3, PACKAGE),
    requests.Hashes(3, bytes.fromhex(digest_of(b"piece 0"))),
    news.Holding(PACKAGE, b"\x05"),
    news.Have(PACKAGE, (1, 3), (2,)),
    news.Offer(PACKAGE, 2),
    news.Decline(PACKAGE, 2),
    requests.WantPiece(4, PACKAGE, 2),
    requests.Piece(4, b"the bytes"),
    requests.WantOutput(5, 7),
    requests.Output(5, b"done\n"),
    requests.NotHere(6),
    requests.Busy(6, 1500),
    requests.Cancel(6),
    news.Feed(PACKAGE, Round.WANTED),
    news.Fed(PACKAGE, 2, b"the bytes"),
    news.Branched(PACKAGE, Branch(1, 2, (PeerName("n1"), PeerName("n3"), PeerName("n0")))),
]


def example(raw: bytes) -> str:
    """What C{raw} looks like in the document: 16 bytes a line, and what can be read of them."""
    lines = [raw[at : at + 16] for at in range(0, len(raw), 16)]
    shown = ["".join(chr(byte) if 32 <= byte < 127 else "." for byte in line) for line in lines]
    return "".join(f"{line.hex(' '):47}  {text}\n" for line, text in zip(lines, shown, strict=True))


class DocumentTests(SynchronousTestCase):
    """The wire, as it is written down."""

    def setUp(self) -> None:
        self.text = DOCUMENT.read_text()
        self.sections = {int(kind, 16): (name, rest) for kind, name, rest in SECTION.findall(self.text)}

    def test_kinds(self) -> None:
        """Every kind has a section, under its name, and nothing else has."""
        kinds = {**NOTIFICATION, **UPDATE}
        names = {kind: name for kind, (name, _) in self.sections.items()}
        self.assertEqual(names, {kind: message.__name__ for kind, message in kinds.items()})
        self.assertEqual({type(message).__name__ for message in EXAMPLES}, set(names.values()))

    def test_examples(self) -> None:
        """Each example is what is written, and can be read."""
        for message in EXAMPLES:
            (shown,) = EXAMPLE.findall(self.sections[message.KIND][1])
            raw = bytes.fromhex("".join(line[:47] for line in shown.splitlines()))
            # Compressed bytes may be others with another zlib: what they stand for counts.
            right = raw if isinstance(message, news.Branched) else b"".join(message.frame().encode())
            self.assertEqual(shown, example(right), f"{message} is\n{example(right)}")
            buffer = FrameBuffer({message.KIND: message.shape()})
            (frame,) = buffer.feed(raw)
            self.assertEqual(type(message).read(frame.head, frame.body), message)

    def test_limits(self) -> None:
        """The length that each section allows is the one that is kept."""
        for kind, (name, rest) in self.sections.items():
            shape = {**NOTIFICATION, **UPDATE}[kind].shape()
            (most,) = re.findall(r"Length: (?:\d+ to |at most )?(\d+)\.", rest)
            self.assertEqual(int(most), 1 + shape.limit, name)

    def test_times(self) -> None:
        """The table of time-outs and bounds has the values of L{Limits}."""
        told = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+)", self.text, re.MULTILINE))
        limits = Limits()
        self.assertEqual(
            {name: float(value) for name, value in told.items()},
            {name: float(getattr(limits, name)) for name in Limits.__slots__ if name != "__weakref__"},
        )
