"""Messages survive the wire, and nothing else does."""

from __future__ import annotations

import contextlib
import zlib
from base64 import b64encode
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt.errors import BadDocument, ProtocolError
from clumpt.idset import IdSet
from clumpt.model import NAME, PeerName
from clumpt.pieces import MOST, Round, digest_of
from clumpt.protocols import messages, news, requests
from clumpt.protocols.framing import Frame, FrameBuffer
from clumpt.protocols.messages import (
    MOST_ENVELOPE,
    NOTIFICATION,
    Ack,
    Hello,
    Message,
    Notify,
    Ping,
    Pong,
    Reload,
    pages,
)
from clumpt.protocols.news import MOST_NAMES, MOST_TEXT
from clumpt.protocols.requests import UPDATE
from clumpt.trees import TREES, Branch

KINDS = {**NOTIFICATION, **UPDATE}
seqs = st.integers(1, 2**53 - 1)
u32 = st.integers(0, 2**32 - 1)
idsets = st.sets(st.integers(1, 200)).map(IdSet.of)
digests = st.binary(max_size=8).map(digest_of)
envelopes = st.lists(st.binary(max_size=50), max_size=4).map(tuple)
blobs = st.binary(max_size=200)
hellos = st.builds(
    Hello,
    st.lists(st.integers(1, 9), max_size=3).map(tuple),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=9),
    seqs,
    digests,
    blobs,
    st.just("00ff"),
)
branches = st.lists(
    st.from_regex(NAME, fullmatch=True).map(PeerName), min_size=1, max_size=50, unique=True
).flatmap(
    lambda names: st.builds(
        Branch, st.integers(0, TREES - 1), st.integers(0, len(names)), st.just(tuple(names))
    )
)
indices = st.lists(st.integers(0, MOST - 1), max_size=500).map(tuple)
every_message = st.one_of(
    hellos,
    st.builds(Ping),
    st.builds(Pong),
    st.builds(Notify, envelopes, idsets, seqs),
    st.builds(Ack, seqs),
    st.builds(Reload),
    st.builds(requests.WantTable, u32, idsets),
    st.builds(requests.Table, u32, envelopes),
    st.builds(requests.WantIds, u32),
    st.builds(requests.Ids, u32, idsets),
    st.builds(requests.WantHashes, u32, digests),
    st.builds(requests.Hashes, u32, blobs),
    st.builds(news.Holding, digests, st.binary(max_size=128)),
    st.builds(news.Have, digests, indices, indices),
    st.builds(news.Offer, digests, u32),
    st.builds(news.Decline, digests, u32),
    st.builds(news.Feed, digests, st.sampled_from(Round)),
    st.builds(news.Fed, digests, u32, st.binary(max_size=200)),
    st.builds(news.Branched, digests, branches),
    st.builds(requests.WantPiece, u32, digests, u32),
    st.builds(requests.Piece, u32, blobs),
    st.builds(requests.WantOutput, u32, seqs),
    st.builds(requests.Output, u32, blobs),
    st.builds(requests.NotHere, u32),
    st.builds(requests.Busy, u32, u32),
    st.builds(requests.Cancel, u32),
)


def read(frame: Frame) -> Message:
    return KINDS[frame.kind].read(frame.head, frame.body)


class HaveTests(SynchronousTestCase):
    """L{news.Have} has two lists in one body."""

    def test_lengths(self) -> None:
        """More indices of held pieces than there are, or half an index, is a mistake."""
        head = news.Have(digest_of(b"a package"), (1, 2), ()).head()
        for body in (b"", b"\0\1", b"\0\1\0\2\0"):
            self.assertRaises(BadDocument, news.Have.read, head, body)

    def test_beyond(self) -> None:
        """No package has more pieces than there can be: who says so breaks the rules."""
        for held, coming in (((MOST,), ()), ((1,), (65535,))):
            have = news.Have(digest_of(b"a package"), held, coming)
            self.assertRaises(BadDocument, news.Have.read, have.head(), have.body())


class BranchedTests(SynchronousTestCase):
    """L{news.Branched} has compressed names."""

    def read(self, body: bytes, tree: int = 0, inner: int = 0) -> Branch:
        """The branch that C{body} stands for."""
        head = news.Branched.HEAD.pack(bytes(32), tree, inner)
        return news.Branched.read(head, body).branch

    def refused(self, why: str, *words: Any) -> None:
        """There is none, for this reason."""
        self.assertIn(why, str(self.assertRaises(BadDocument, self.read, *words)))

    def branch(self, count: int, pattern: str = "n{}") -> Branch:
        """So many peers, of which half pass on."""
        return Branch(1, count // 2, tuple(PeerName(pattern.format(number)) for number in range(count)))

    def test_many(self) -> None:
        """As many peers as there may be, with names as long as they may be, can be told; one more cannot."""
        for pattern in ("n{}", "{:0>63}"):
            most = news.Branched(digest_of(b""), self.branch(MOST_NAMES, pattern))
            self.assertEqual(news.Branched.read(most.head(), most.body()), most)
        self.assertEqual(len("\n".join(most.branch.names)), MOST_TEXT - 1)
        more = self.branch(MOST_NAMES + 1)
        self.assertRaises(BadDocument, news.Branched(digest_of(b""), more).body)
        self.refused(f"a branch of {MOST_NAMES + 1}", zlib.compress("\n".join(more.names).encode()))

    def test_too_large_to_send(self) -> None:
        """Names that cannot be made small enough are not sent."""
        names = tuple(PeerName(digest_of(b"%d" % number)[:63]) for number in range(2500))
        wrong = self.assertRaises(BadDocument, news.Branched(digest_of(b""), Branch(0, 0, names)).frame)
        self.assertIn("can travel", str(wrong))

    def test_names(self) -> None:
        """There is a name at least, each is a good one, and stands there once."""
        for text in (
            b"",
            b"a\n",
            b"\na",
            b"a\n\nb",
            b"a b",
            b"-a",
            b"a\r\nb",
            b"a/b",
            b"a" * 64,
            b"a\xff",
            b"\xc3\xa4",
        ):
            self.refused("is no name", zlib.compress(text))
        self.refused("each once", zlib.compress(b"a\nb\na"))

    def test_place(self) -> None:
        """It is of one of the trees, and not more pass on than there are."""
        body = zlib.compress(b"a\nb")
        self.assertEqual(self.read(body, TREES - 1, 2).inner, 2)
        self.refused(f"tree {TREES}", body, TREES)
        self.refused("3 of 2 peers", body, 0, 3)

    def test_not_compressed(self) -> None:
        """What was not compressed, or with another dictionary, is refused."""
        other = zlib.compressobj(zdict=b"abc")
        for body in (b"a\nb", b"\0" * 99, other.compress(b"abc") + other.flush()):
            self.refused("are not compressed", body)
        spoiled = bytearray(zlib.compress(b"a\nb"))
        spoiled[-1] ^= 1
        self.refused("are not compressed", bytes(spoiled))

    def test_ends(self) -> None:
        """There is nothing missing at the end, and nothing too much."""
        body = zlib.compress(b"a\nb")
        for size in range(len(body)):
            self.refused("too early", body[:size])
        self.refused("1 bytes follow", body + b"\0")
        self.refused(f"{len(body)} bytes follow", body * 2)

    def test_bomb(self) -> None:
        """Little that would grow to much is given up at the greatest length that names may have."""
        taken: list[int] = []
        inflater = zlib.decompressobj

        class Watched:
            """Notes how much came out."""

            def __init__(self) -> None:
                self.stream = inflater()

            def decompress(self, body: bytes, most: int) -> bytes:
                found = self.stream.decompress(body, most)
                taken.append(len(found))
                return found

        self.patch(zlib, "decompressobj", Watched)
        bomb = zlib.compress(b"a" * 50_000_000, 9)
        self.assertLess(len(bomb), messages.CONTROL)
        self.refused("bytes or more", bomb)
        self.refused("bytes or more", zlib.compress(b"a" * MOST_TEXT))
        self.assertEqual(taken, [MOST_TEXT] * 2)


class MessageTests(SynchronousTestCase):
    """Every message can be written and read."""

    @given(every_message)
    def test_round_trip(self, message: Message) -> None:
        """What is read is what was written, and fits what is allowed for its kind."""
        buffer = FrameBuffer({kind: one.shape() for kind, one in KINDS.items()})
        (frame,) = buffer.feed(b"".join(message.frame().encode()))
        self.assertEqual(read(frame), message)

    @given(st.sampled_from(sorted(KINDS)), st.data())
    def test_any_garbage(self, kind: int, data: st.DataObject) -> None:
        """Any bytes in an allowed frame make a message or a L{BadDocument}."""
        shape = KINDS[kind].shape()
        head = data.draw(st.binary(min_size=shape.head, max_size=shape.head))
        body = data.draw(st.binary(max_size=min(200, shape.limit - shape.head)))
        with contextlib.suppress(BadDocument):
            read(Frame(kind, head, body))

    @given(every_message, st.data())
    def test_any_change(self, message: Message, data: st.DataObject) -> None:
        """A message with one byte changed is a message or a L{BadDocument}."""
        frame = message.frame()
        if not frame.body:
            return
        body = bytearray(frame.body)
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
        with contextlib.suppress(BadDocument):
            read(Frame(frame.kind, frame.head, bytes(body)))

    def test_bad_fields(self) -> None:
        """Fields that are missing, unknown, of another type or out of range are refused."""
        for body in (
            b"{}",
            b'{"head":1,"more":1}',
            b'{"head":"1"}',
            b'{"head":-1}',
            b'{"head":1.0}',
            b'{"head":9007199254740992}',
            b"[1]",
            b"",
        ):
            with self.assertRaises(BadDocument, msg=body):
                Ack.read(b"", body)

    def test_bad_ids(self) -> None:
        """A set of ids has one way to be written, and a bounded number of ranges."""
        many = ",".join(str(one) for one in range(1, 5000, 2))
        for ids in ("0", "3-2", "1,2", " 1", "1_0", "x", "9007199254740993", many, "9" * 5000):
            with self.assertRaises(BadDocument, msg=ids):
                requests.WantTable.read(bytes(4), b'{"have":"%s"}' % ids.encode())

    def test_bad_envelope(self) -> None:
        """An envelope that is not base64 is refused, and so is a digest that is none."""
        with self.assertRaises(BadDocument):
            requests.Table.read(bytes(4), b'{"envelopes":["?"]}')
        hello = Hello((1,), "d", 0, digest_of(b""), b"", "00").frame()
        with self.assertRaises(BadDocument):
            Hello.read(b"", hello.body.replace(digest_of(b"").encode(), b"xyz"))

    def test_versions(self) -> None:
        """Both speak the highest version that they share; without one they do not speak."""
        hello = Hello((1, 7), "d", 0, digest_of(b""), b"", "00")
        self.assertEqual(hello.version(), 1)
        self.assertEqual(Hello((1, 2, 7), "d", 0, digest_of(b""), b"", "00").version(), 2)
        self.assertEqual(Hello((1, 2, 3, 7), "d", 0, digest_of(b""), b"", "00").version(), 3)
        self.assertEqual(Hello((1, 2, 3, 4, 7), "d", 0, digest_of(b""), b"", "00").version(), 4)
        with self.assertRaises(ProtocolError):
            Hello((5, 7), "d", 0, digest_of(b""), b"", "00").version()

    def test_too_large_to_send(self) -> None:
        """A document that no peer would take is not sent."""
        with self.assertRaises(BadDocument):
            Hello((1,), "d" * 70_000, 0, digest_of(b""), b"", "00").frame()

    def test_round(self) -> None:
        """What is said of a package that goes round is one of a few words."""
        head = news.Feed(digest_of(b""), Round.WITHOUT).head()
        self.assertIs(news.Feed.read(head, b"").word, Round.WITHOUT)
        self.assertIs(news.Feed.read(head[:-1] + b"\4", b"").word, Round.ENOUGH)
        with self.assertRaises(BadDocument):
            news.Feed.read(head[:-1] + bytes([len(Round)]), b"")


class PagesTests(SynchronousTestCase):
    """Envelopes are parted so that each part fits a message."""

    @given(st.lists(st.integers(0, MOST_ENVELOPE), max_size=12))
    def test_fit(self, sizes: list[int]) -> None:
        """Every page can be sent; together they are what there was, in order."""
        sent = [bytes(size) for size in sizes]
        parts = list(pages(sent))
        self.assertEqual([one for part in parts for one in part], sent)
        for part in parts:
            Notify(part, IdSet.upto(10**9), 2**53 - 1).frame()
            requests.Table(1, part).frame()

    def test_small_ones_share_a_page(self) -> None:
        """A page is filled before the next is begun."""
        sizes = [sum(len(b64encode(one)) for one in part) for part in pages([bytes(1000)] * 100)]
        self.assertEqual(len(sizes), 3)
        self.assertLess(max(sizes), messages.CONTROL)

    def test_too_large(self) -> None:
        """An envelope that can never travel is an error of its maker."""
        with self.assertRaises(BadDocument):
            list(pages([bytes(MOST_ENVELOPE + 1)]))
