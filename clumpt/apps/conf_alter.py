"""Nodes that are there get other keys or groups, or go (R66, H10)."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve
from cryptography.hazmat.primitives.serialization import Encoding

from clumpt.aio import deferred
from clumpt.apps.conf_change import changed, names, rewired, similar, tell, write
from clumpt.apps.conf_env import Environment, Site, survey
from clumpt.apps.conf_issue import Delivery, Issuer
from clumpt.apps.conf_keys import Statement, load_certificate
from clumpt.apps.conf_roots import following, publish_root
from clumpt.apps.nodes import chosen
from clumpt.errors import BadDocument, BadInput, Untrusted
from clumpt.model import Group, GroupName, Member, Peer
from clumpt.pieces import Digest
from clumpt.trust.files import PUBLIC
from clumpt.trust.files import write as write_file


@deferred
async def renew(env: Environment, nodes: str, delivery: Delivery, stolen: bool = False) -> None:
    """
    Give nodes new keys, certificates and statements, which take the place of the old ones.

    A tool or the directory server gets a new certificate for its old key, in its old place, for which the
    directory is not asked.

    @param stolen: revoke the old keys; fails with L{BadInput} if the root key is not at hand.
    """
    if nodes in env.keys.places.own_certificates:
        _renew_own(env, nodes)
        return
    site = await survey(env)
    peers = _nodes(chosen(nodes, site.peers))
    following = _following(env, site, _marks(site, peers)) if stolen else None
    if not await env.talk.agreed([f"New keys for: {names(peers)}", f"Bundles: in {delivery.folder}"]):
        return
    issuer = Issuer(env, site, delivery)
    fresh = []
    for peer in peers:
        old = _member(site, peer)
        mark = issuer.issue(peer.name, peer.addresses[0])
        generation = old.generation if old else 0
        fresh.append(evolve(peer, member=issuer.statement.of(peer.name, mark, peer.groups, generation)))
    await write(env, fresh)
    if following is not None:
        await _publish(env, site, following)
        await tell(env, site, site.peers)
    env.talk.say("On each node: stop clumptd, unpack the bundle into /etc, and start it again.")


def _renew_own(env: Environment, name: str) -> None:
    path = env.keys.places.own_certificates[name]
    if env.talk.dry:
        env.talk.say(f"A new certificate for the same key: {path}")
        return
    authority = env.keys.authority(env.keys.keyring().deployment)
    fresh = authority.renew(load_certificate(path), env.keys.validity(env.now()))
    write_file(path, fresh.public_bytes(Encoding.PEM), PUBLIC, replace=True)
    env.talk.say(f"Renewed {path}, for the same key.")


@deferred
async def set_groups(env: Environment, nodes: str, groups: frozenset[GroupName]) -> None:
    """Put nodes into C{groups} and out of all others, by a new statement of each (H10)."""
    site = await survey(env)
    if not groups:
        raise BadInput("a node needs at least one group; clumptconf remove takes it out altogether")
    peers = [peer for peer in _nodes(chosen(nodes, site.peers)) if peer.groups != groups]
    moving = {peer.name for peer in peers}
    unknown = sorted(groups - {group.name for group in site.groups})
    statement = Statement(env.keys.enroller(), site.keyring, env.now())
    moved = []
    for peer in peers:
        old = _member(site, peer)
        if old is None:
            raise BadInput(f"the statement of {peer.name} is not good: clumptconf renew {peer.name} first")
        fresh = statement.of(peer.name, old.fingerprint, groups, old.generation)
        moved.append(evolve(peer, groups=groups, member=fresh))
    after = rewired(env, site.with_peers(moved))
    affected = changed(site, after)
    plan = [
        f"Into {', '.join(sorted(groups))}, and no other groups: {names(peers)}",
        *(f"New group: {group}{similar(group, site)}" for group in unknown),
        f"Changed neighbours: {names([peer for peer in affected if peer.name not in moving])}",
    ]
    if not affected:
        env.talk.say("There is nothing to do: all of them are in these groups.")
    elif await env.talk.agreed(plan):
        for group in unknown:
            await env.directory.put_group(Group(group))
        await write(env, affected)
        await tell(env, site, affected)


@deferred
async def remove(env: Environment, nodes: str) -> None:
    """Take nodes out of the deployment, and revoke their keys if the root key is at hand."""
    site = await survey(env)
    peers = _nodes(chosen(nodes, site.peers))
    left = site.without({peer.name for peer in peers})
    after = rewired(env, left)
    affected = changed(left, after)
    marks = _marks(site, peers)
    following, obstacle = None, ""
    try:
        following = _following(env, site, marks)
    except BadInput as wrong:
        obstacle = str(wrong)
    plan = [f"Remove: {names(peers)}", f"Changed neighbours: {names(affected)}"]
    if obstacle:
        plan.append(
            f"Their keys are not revoked, so peers that do not know of this yet let them in: {obstacle}"
        )
    if not await env.talk.agreed(plan):
        return
    await write(env, affected)
    for peer in peers:
        await env.directory.remove_peer(peer.name)
    if following is not None:
        await _publish(env, site, following)
    else:
        env.talk.say(f"To revoke their keys later: clumptconf revoke {' '.join(marks)}")
    # Those whom the removed ones knew may be linked to them.
    linked = {other for peer in peers for other in peer.neighbours} | {peer.name for peer in affected}
    await tell(env, after, [peer for peer in after.peers if peer.name in linked])


@deferred
async def revoke(env: Environment, marks: Sequence[Digest]) -> None:
    """Let no peer accept these keys any more, by the next root document, whose key is needed."""
    site = await survey(env)
    following = _following(env, site, marks)
    if await env.talk.agreed([f"Revoke: {' '.join(marks)}"]):
        await _publish(env, site, following)
        await tell(env, site, site.peers)


def _following(env: Environment, site: Site, marks: Sequence[Digest]) -> bytes:
    """The next root document, which revokes these keys; raises L{BadInput} if it cannot be made here."""
    return following(env, site, revoked=site.keyring.root.revoked.union(marks))


async def _publish(env: Environment, site: Site, root: bytes) -> None:
    version = await publish_root(env, site, root)
    env.talk.say(f"Revoked their keys, by root document {version}.")


def _marks(site: Site, peers: Sequence[Peer]) -> list[Digest]:
    """The fingerprints of the keys of C{peers}."""
    return sorted({member.fingerprint for peer in peers if (member := _member(site, peer))})


def _nodes(peers: Sequence[Peer]) -> list[Peer]:
    for peer in peers:
        if not peer.addresses:
            raise BadInput(f"{peer.name} is a tool, not a node")
    return list(peers)


def _member(site: Site, peer: Peer) -> Member | None:
    """The good statement of C{peer}, None if it has none."""
    try:
        return site.keyring.member(peer.member)
    except (BadDocument, Untrusted):
        return None
