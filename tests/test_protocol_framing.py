"""Frames are cut out of the stream, whatever the stream looks like."""

from __future__ import annotations

from struct import pack

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt.errors import ProtocolError
from clumpt.protocols.framing import Frame, FrameBuffer, Shape

SHAPES = {1: Shape(0, 100), 2: Shape(4, 300), 3: Shape(36, 20_000), 4: Shape(0, 0)}


def frames_of_kind(kind: int) -> st.SearchStrategy[Frame]:
    shape = SHAPES[kind]
    head = st.binary(min_size=shape.head, max_size=shape.head)
    body = st.binary(max_size=shape.limit - shape.head)
    return st.builds(Frame, st.just(kind), head, body)


frames = st.lists(st.sampled_from(sorted(SHAPES)).flatmap(frames_of_kind), max_size=8)


def fed(data: bytes, cuts: list[int]) -> list[Frame]:
    """What comes out when C{data} arrives in pieces of the sizes C{cuts}, again and again."""
    buffer, found, at = FrameBuffer(dict(SHAPES)), [], 0
    while at < len(data):
        for cut in cuts:
            found += buffer.feed(data[at : at + cut])
            at += cut
    return found


class FrameBufferTests(SynchronousTestCase):
    """L{FrameBuffer} takes a stream apart."""

    @given(frames, st.lists(st.integers(1, 50), min_size=1, max_size=5))
    def test_any_cut(self, sent: list[Frame], cuts: list[int]) -> None:
        """However TCP cuts the stream, the same frames come out."""
        stream = b"".join(part for frame in sent for part in frame.encode())
        self.assertEqual(fed(stream, cuts), sent)

    def test_large_body_is_not_copied(self) -> None:
        """The body of a large frame is written as the object that it is; a smaller one is joined."""
        body = bytes(200_000)
        self.assertIs(Frame(3, bytes(36), body).encode()[1], body)
        self.assertEqual(len(Frame(3, bytes(36), bytes(128 * 1024)).encode()), 1)

    @given(st.binary(max_size=400), st.lists(st.integers(1, 50), min_size=1, max_size=5))
    def test_any_garbage(self, garbage: bytes, cuts: list[int]) -> None:
        """Garbage makes frames or a L{ProtocolError}, and nothing else, and is not kept."""
        try:
            for frame in fed(garbage, cuts):
                self.assertIn(frame.kind, SHAPES)
        except ProtocolError:
            pass

    def test_too_long_for_its_kind(self) -> None:
        """A frame that its kind does not allow is refused as soon as length and kind are here."""
        buffer = FrameBuffer(dict(SHAPES))
        self.assertEqual(buffer.feed(pack("!IB", 101, 1)), [])
        with self.assertRaises(ProtocolError):
            FrameBuffer(dict(SHAPES)).feed(pack("!IB", 102, 1))

    def test_too_long_for_any(self) -> None:
        """A length that no kind allows is refused before the kind is here."""
        for size in (0, 20_002, 2**31, 2**32 - 1):
            with self.assertRaises(ProtocolError):
                FrameBuffer(dict(SHAPES)).feed(pack("!I", size))
        self.assertEqual(FrameBuffer(dict(SHAPES)).feed(pack("!I", 20_001)), [])

    def test_too_short(self) -> None:
        """A frame without room for its head is refused."""
        with self.assertRaises(ProtocolError):
            FrameBuffer(dict(SHAPES)).feed(pack("!IB", 4, 2) + b"abc")

    def test_unknown_kind(self) -> None:
        """A kind that is not spoken here is refused."""
        with self.assertRaises(ProtocolError):
            FrameBuffer(dict(SHAPES)).feed(pack("!IB", 1, 9))

    def test_allow(self) -> None:
        """A limit can change from frame to frame."""
        buffer = FrameBuffer(dict(SHAPES))
        buffer.allow(1, 2)
        self.assertEqual(len(buffer.feed(pack("!IB", 3, 1) + b"ab")), 1)
        with self.assertRaises(ProtocolError):
            buffer.feed(pack("!IB", 4, 1))
