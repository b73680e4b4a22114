"""Hypothesis strategies for the values of Clumpt; what they make is valid, and often at the edge of it."""

from __future__ import annotations

from hypothesis import strategies as st

from clumpt.model import (
    NAME,
    PACKAGE_WORD,
    Action,
    Entry,
    GroupName,
    Interrupted,
    Member,
    Package,
    PeerName,
    Update,
)
from clumpt.pieces import LARGEST, MOST, Digest, Pieces, digest_of, piece_size
from clumpt.strictjson import LARGEST as LARGEST_INTEGER
from clumpt.testing.keys import Deployment

names = st.from_regex(NAME, fullmatch=True)
peers = names.map(PeerName)
groups = names.map(GroupName)
words = st.from_regex(PACKAGE_WORD, fullmatch=True)
digests: st.SearchStrategy[Digest] = st.binary(max_size=8).map(digest_of)
#: Any text that no terminal obeys.
texts = st.text(st.characters(categories=("L", "N", "P", "S"), include_characters=" "), max_size=40)
numbers = st.integers(0, LARGEST_INTEGER)


@st.composite
def pieces(draw: st.DrawFn) -> Pieces:
    """How some package is cut."""
    total = draw(st.integers(0, LARGEST * MOST))
    return Pieces(total, piece_size(total), draw(digests))


packages = st.builds(
    Package, name=words, version=words, arch=words, file=words, sha256=digests, pieces=pieces()
)


@st.composite
def updates(draw: st.DrawFn, deployment: str = "test") -> Update:
    """Any update, standing alone."""
    seq = draw(st.integers(1, LARGEST_INTEGER))
    earlier = st.lists(st.integers(1, seq - 1), max_size=3).map(tuple) if seq > 1 else st.just(())
    return Update(
        deployment=deployment,
        seq=seq,
        prev=draw(digests),
        submit_id=draw(words),
        issued=draw(numbers),
        groups=draw(st.frozensets(groups, max_size=4)),
        action=draw(st.sampled_from(Action)),
        installer=draw(names),
        packages=draw(st.lists(packages, max_size=3).map(tuple)),
        argv=draw(st.lists(texts, max_size=4).map(tuple)),
        targets=draw(st.lists(words, max_size=3).map(tuple)),
        nodes=draw(st.frozensets(peers, max_size=3)),
        exclude=draw(st.frozensets(peers, max_size=3)),
        requires=draw(earlier),
        withdraws=draw(earlier),
        retries=draw(st.integers(0, seq - 1)),
        interrupted=draw(st.sampled_from(Interrupted)),
        timeout=draw(numbers),
        not_after=draw(numbers),
        why=draw(texts),
    )


@st.composite
def members(draw: st.DrawFn, deployment: str = "test") -> Member:
    """Any membership."""
    return Member(
        deployment=deployment,
        peer=draw(peers),
        generation=draw(st.integers(1, LARGEST_INTEGER)),
        fingerprint=draw(digests),
        groups=draw(st.frozensets(groups, max_size=4)),
        issued=draw(numbers),
    )


@st.composite
def entries(draw: st.DrawFn, least: int = 0, most: int = 8) -> tuple[Deployment, list[Entry]]:
    """A deployment, and the chain of C{least} to C{most} entries that was signed in it, in order."""
    deployment = Deployment()
    for groups_named in draw(
        st.lists(st.frozensets(groups, min_size=1, max_size=2), min_size=least, max_size=most)
    ):
        deployment.sign(groups=groups_named)
    return deployment, deployment.entries
