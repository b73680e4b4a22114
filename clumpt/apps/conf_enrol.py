"""Nodes come, change their groups or keys, and go (R66, R73-R75, H10)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from attrs import evolve, frozen

from clumpt.aio import deferred
from clumpt.apps.conf_change import changed, names, rewired, similar, tell, write
from clumpt.apps.conf_env import Environment, Site, survey
from clumpt.apps.conf_issue import Delivery, Issuer
from clumpt.apps.nodes import fold
from clumpt.errors import BadInput, Conflict
from clumpt.model import TOOLS, Address, Group, GroupName, Peer, PeerName


@frozen
class Newcomers:
    """
    Nodes to be added.

    @ivar addresses: where each listens.
    @ivar certificate: the own certificate of the only node, which has its key already.
    """

    addresses: Mapping[PeerName, Address]
    groups: frozenset[GroupName]
    arch: str = ""
    rack: str = ""
    certificate: Path | None = None


@deferred
async def add(env: Environment, new: Newcomers, delivery: Delivery) -> None:
    """
    Add nodes: entry, certificate, statement and bundle, and neighbours (R66, R73, R74).

    Nodes that are there already with the same address and groups are left alone, so that what was cut
    short can be repeated.  Fails with L{Conflict}, with nothing changed, if one is there with others.
    """
    site = await survey(env)
    if not new.groups:
        raise BadInput("a node needs at least one group, or nobody tells it anything: -g GROUP")
    fresh = _fresh(env, site, new)
    unknown = sorted(new.groups - {group.name for group in site.groups})
    drafts = [
        Peer(name, (new.addresses[name],), new.groups, b"", arch=new.arch, rack=new.rack) for name in fresh
    ]
    after = rewired(env, site.with_peers(drafts))
    others = [peer for peer in changed(site, after) if peer.name not in set(fresh)]
    plan = [
        f"New: {fold(fresh) if fresh else 'none'} in {', '.join(sorted(new.groups))}",
        *(f"New group: {group}{similar(group, site)}" for group in unknown),
        f"Changed neighbours: {names(others)}",
        f"Bundles: in {delivery.folder}",
    ]
    if not (fresh or others):
        env.talk.say("There is nothing to do: all of them are there.")
        return
    if not await env.talk.agreed(plan):
        return
    await _enrol(env, site, after, fresh, unknown, delivery, new.certificate)
    await write(env, others)
    await tell(env, site, others)
    if fresh:
        how = "copy the folder's contents to /etc" if delivery.unpacked else "tar -xf NODE.tar -C /etc"
        env.talk.say(f"On each node: {how}, then start clumptd.  The bundles hold private keys: delete them.")


async def _enrol(
    env: Environment,
    site: Site,
    after: Site,
    fresh: Collection[PeerName],
    unknown: Sequence[GroupName],
    delivery: Delivery,
    certificate: Path | None,
) -> None:
    for group in unknown:
        await env.directory.put_group(Group(group))
    if not fresh:
        return
    issuer = Issuer(env, site, delivery, certificate)
    enrolled = []
    for peer in after.peers:
        if peer.name in fresh:
            mark = issuer.issue(peer.name, peer.addresses[0])
            enrolled.append(evolve(peer, member=issuer.statement.of(peer.name, mark, peer.groups)))
    await write(env, enrolled)


def _fresh(env: Environment, site: Site, new: Newcomers) -> list[PeerName]:
    """The new ones among the newcomers, by name."""
    _check_names(new)
    by_name = {peer.name: peer for peer in site.peers}
    by_case = {peer.name.lower(): peer.name for peer in site.peers}
    there = [
        name
        for name, address in new.addresses.items()
        if (peer := by_name.get(name)) and peer.groups == new.groups and peer.addresses == (address,)
    ]
    fresh = sorted(set(new.addresses) - set(there))
    if clashing := [by_case[name.lower()] for name in fresh if name.lower() in by_case]:
        raise Conflict(
            f"there already, with other groups or another address: {fold(clashing)};"
            " clumptconf set-groups or remove changes them, and nothing was changed now"
        )
    if there:
        env.talk.say(f"There already: {fold(there)}")
    return fresh


def _check_names(new: Newcomers) -> None:
    if len({name.lower() for name in new.addresses}) < len(new.addresses):
        raise BadInput("the names of two nodes must differ by more than small and capital letters")
    # The directory knows tools and servers by such names, in whatever letters.
    if tool := next((name for name in new.addresses if name.lower().startswith(TOOLS)), None):
        raise BadInput(f"{tool} is the name of a tool, not of a node")
    if new.certificate is not None and len(new.addresses) != 1:
        raise BadInput("--certificate is that of one node: add the others by themselves")
