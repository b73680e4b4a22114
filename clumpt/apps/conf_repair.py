"""A directory that was set back to an old backup gets its updates back from the peers (R13)."""

from __future__ import annotations

from collections.abc import Sequence

from clumpt.agent.visitor import Visitor
from clumpt.aio import deferred
from clumpt.apps.conf_env import Environment, Site, survey
from clumpt.apps.nodes import fold
from clumpt.apps.visitor import greeting
from clumpt.errors import BadDocument, ClumptError, PeerUnreachable, Untrusted
from clumpt.idset import IdSet
from clumpt.interfaces import ILink, INetwork
from clumpt.model import Entry, Peer, PeerName, Seq
from clumpt.trust.pki import ADMIN


@deferred
async def repair_directory(env: Environment) -> None:
    """
    Ask every peer for the updates that the directory lacks, and register those that are signed, in order.

    Peers that are down are left out; it is said how far the directory is now, and whom to run it for again.
    Fails as the directory does.
    """
    site = await survey(env)
    head = await env.directory.head()
    peers = [peer for peer in site.peers if peer.addresses]
    greets = await greeting(env.directory, site.keyring, PeerName(ADMIN))
    network = env.network()
    silent: list[PeerName] = []
    added = 0
    try:
        await network.start(Visitor(greets, site.keyring))
        for peer in peers:
            link = await _reached(network, peer, silent)
            if link is not None:
                added += await _take_over(env, site, link, head + added)
                link.close()
    finally:
        await network.stop()
    done = "would be brought back" if env.talk.dry else "brought back"
    env.talk.say(f"{added} updates {done}; the newest is {head + added}.")
    if silent:
        env.talk.say(f"Not asked, as they cannot be reached: {fold(silent)}. Run it again once they are up.")


async def _reached(network: INetwork, peer: Peer, silent: list[PeerName]) -> ILink | None:
    try:
        link: ILink = await network.dial(peer.name, peer.addresses)
    except PeerUnreachable:
        # Told to the administrator together with the others.
        silent.append(peer.name)
        return None
    return link


async def _take_over(env: Environment, site: Site, link: ILink, head: Seq) -> int:
    """Register what C{link} knows beyond C{head}; returns how many updates that were."""
    added = 0
    while True:
        try:
            page: Sequence[bytes] = await link.table(IdSet.upto(head + added))
            entries = _following([site.keyring.entry(envelope) for envelope in page], head + added)
        except (BadDocument, Untrusted) as wrong:
            env.talk.say(f"What {link.peer} gives is not good and is left out: {wrong}")
            return added
        except ClumptError as trouble:
            env.talk.say(f"{link.peer} does not give its updates: {trouble}")
            return added
        if not entries:
            return added
        for entry in entries:
            if not env.talk.dry:
                await env.directory.register(entry)
            added += 1


def _following(entries: Sequence[Entry], head: Seq) -> list[Entry]:
    """Those of C{entries} that come right after C{head}, without a gap."""
    following: list[Entry] = []
    for entry in sorted(entries, key=lambda entry: entry.seq):
        if entry.seq == head + len(following) + 1:
            following.append(entry)
    return following
