"""Changing peers: write what changed, and tell those whom it concerns (R67)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from attrs import evolve
from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore

from clumpt.agent.visitor import Visitor
from clumpt.aio import deferred
from clumpt.apps.conf_env import Environment, Site
from clumpt.apps.nodes import fold
from clumpt.apps.visitor import greeting
from clumpt.errors import ClumptError, PeerUnreachable
from clumpt.graph import wire
from clumpt.model import GroupName, Peer, PeerName
from clumpt.trust.pki import ADMIN

T = TypeVar("T")

#: Requests to the directory at a time, and peers that are called at a time.
WRITES, CALLS = 8, 32


@deferred
async def each(items: Collection[T], do: Callable[[T], Awaitable[object]], at_once: int) -> None:
    """
    Do something with each of C{items}, so many C{at_once}.

    Fires when all have ended; fails as the first that failed.
    """
    slots = DeferredSemaphore(at_once)

    @deferred
    async def one(item: T) -> None:
        await slots.acquire()
        try:
            await do(item)
        finally:
            slots.release()

    ended: list[tuple[bool, Any]] = await DeferredList([one(item) for item in items], consumeErrors=True)
    for good, result in ended:
        if not good:
            result.raiseException()


def rewired(env: Environment, site: Site) -> Site:
    """C{site} with the neighbour lists that it should have."""
    lists = wire(site.peers, site.settings, env.random)
    return site.with_peers([evolve(peer, neighbours=lists.get(peer.name, ())) for peer in site.peers])


def changed(before: Site, after: Site) -> list[Peer]:
    """The peers of C{after} that are not the same in C{before}."""
    old = {peer.name: peer for peer in before.peers}
    return [peer for peer in after.peers if old.get(peer.name) != peer]


def names(peers: Collection[Peer]) -> str:
    """The names of C{peers}, folded."""
    return fold(peer.name for peer in peers) if peers else "none"


def similar(group: GroupName, site: Site) -> str:
    """A question whether another group of C{site} was meant, if there is one of a similar name."""
    close = get_close_matches(group, [known.name for known in site.groups], 1)
    return f" (or did you mean {close[0]}?)" if close else ""


def write(env: Environment, peers: Collection[Peer]) -> Deferred[None]:
    """Put C{peers} into the directory."""
    return each(peers, env.directory.put_peer, WRITES)


@deferred
async def tell(env: Environment, site: Site, peers: Sequence[Peer]) -> None:
    """
    Tell C{peers}, those of them that are up, to read the directory anew (R67).

    Who cannot be told notices by itself, so this never fails because of it; it is said who.
    """
    called = [peer for peer in peers if peer.addresses]
    if not called:
        return
    told: list[PeerName] = []
    try:
        await _call(env, site, called, told)
    except ClumptError as wrong:
        env.talk.say(f"The peers could not be told: {wrong}")
    silent = {peer.name for peer in called}.difference(told)
    if told:
        env.talk.say(f"Told: {fold(told)}")
    if silent:
        within = f"{site.settings.interval:g} s"
        env.talk.say(f"Not told, they notice within {within} of being up: {fold(silent)}")


async def _call(env: Environment, site: Site, peers: Sequence[Peer], told: list[PeerName]) -> None:
    greets = await greeting(env.directory, site.keyring, PeerName(ADMIN))
    network = env.network()

    async def call(peer: Peer) -> None:
        try:
            link = await network.dial(peer.name, peer.addresses)
        except PeerUnreachable:
            # Who is down is told to the administrator together with the others.
            return
        link.reload()
        link.close()
        told.append(peer.name)

    try:
        await network.start(Visitor(greets, site.keyring))
        await each(peers, call, CALLS)
    finally:
        await network.stop()
