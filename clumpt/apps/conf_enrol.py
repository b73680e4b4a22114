"""Nodes come, change their groups or keys, and go (R66, R73-R75, H10)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from attrs import evolve, frozen
from cryptography.hazmat.primitives.serialization import Encoding

from clumpt.aio import deferred
from clumpt.apps.conf_bundle import make_folder, node_files, write_folder, write_tar
from clumpt.apps.conf_change import changed, names, rewired, tell, write
from clumpt.apps.conf_env import Environment, Site, Statement, load_certificate, survey
from clumpt.apps.nodes import chosen, fold
from clumpt.errors import BadDocument, BadInput, Conflict, Untrusted
from clumpt.model import Address, Group, GroupName, Member, Peer, PeerName
from clumpt.pieces import Digest
from clumpt.trust.files import PUBLIC, read
from clumpt.trust.files import write as write_file
from clumpt.trust.pki import ADMIN, SUBMITTER, Authority, fingerprint


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


@frozen
class Delivery:
    """
    Where bundles are put.

    @ivar unpacked: as a folder for each node, rather than a tar archive.
    """

    folder: Path
    unpacked: bool = False


class _Issuer:
    """Issues what a node gets, and writes it down."""

    def __init__(self, env: Environment, site: Site, delivery: Delivery, own: Path | None = None) -> None:
        self._env = env
        self._now = env.now()
        self._delivery = delivery
        self._own = None if own is None else load_certificate(own)
        self._authority: Authority | None = None if own else env.keys.authority(site.keyring.deployment)
        self._authority_pem = read(env.keys.places.pair("ca")[0])
        self._root = read(env.keys.places.root)
        self.statement = Statement(env.keys.enroller(), site.keyring, self._now)
        make_folder(delivery.folder, 0o700)

    def issue(self, name: PeerName, address: Address) -> Digest:
        """Make a key and certificate, unless the node has its own, and the bundle; the key's fingerprint."""
        key: bytes | None = None
        if self._own is not None:
            pem, mark = self._own.public_bytes(Encoding.PEM), fingerprint(self._own)
        else:
            assert self._authority is not None  # one of both is there
            identity = self._authority.peer(name, [address.host], self._env.keys.validity(self._now))
            pem, key, mark = identity.certificate_pem, identity.key_pem(), fingerprint(identity.certificate)
        ports = address.notify, address.update
        files = node_files(self._env.config, name, ports, pem, key, self._authority_pem, self._root)
        if self._delivery.unpacked:
            write_folder(files, self._delivery.folder / name, replace=True)
        else:
            write_tar(files, self._delivery.folder / f"{name}.tar", self._now)
        return mark


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
        *(f"New group: {group}{_similar(group, site)}" for group in unknown),
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
    issuer = _Issuer(env, site, delivery, certificate)
    enrolled = []
    for peer in after.peers:
        if peer.name in fresh:
            mark = issuer.issue(peer.name, peer.addresses[0])
            enrolled.append(evolve(peer, member=issuer.statement.of(peer.name, mark, peer.groups)))
    await write(env, enrolled)


def _fresh(env: Environment, site: Site, new: Newcomers) -> list[PeerName]:
    """The new ones among the newcomers, by name."""
    by_name = {peer.name: peer for peer in site.peers}
    by_case = {peer.name.lower(): peer.name for peer in site.peers}
    there, clashing = [], []
    for name, address in new.addresses.items():
        if name in (ADMIN, SUBMITTER):
            raise BadInput(f"{name} is the name of a tool, not of a node")
        peer = by_name.get(name)
        if peer is not None and peer.groups == new.groups and peer.addresses == (address,):
            there.append(name)
        elif name.lower() in by_case:
            clashing.append(by_case[name.lower()])
    if clashing:
        raise Conflict(
            f"there already, with other groups or another address: {fold(clashing)};"
            " clumptconf set-groups or remove changes them, and nothing was changed now"
        )
    if new.certificate is not None and len(new.addresses) != 1:
        raise BadInput("--certificate is that of one node: add the others by themselves")
    if there:
        env.talk.say(f"There already: {fold(there)}")
    return sorted(set(new.addresses) - set(there))


def _similar(group: GroupName, site: Site) -> str:
    close = get_close_matches(group, [known.name for known in site.groups], 1)
    return f" (or did you mean {close[0]}?)" if close else ""


@deferred
async def renew(env: Environment, nodes: str, delivery: Delivery) -> None:
    """
    Give nodes new keys, certificates and statements; the old ones are worth nothing afterwards.

    A tool or the directory server gets a new certificate for its old key, in its old place, for which the
    directory is not asked.
    """
    if nodes in env.keys.places.own_certificates:
        _renew_own(env, nodes)
        return
    site = await survey(env)
    peers = _nodes(chosen(nodes, site.peers))
    if not await env.talk.agreed([f"New keys for: {names(peers)}", f"Bundles: in {delivery.folder}"]):
        return
    issuer = _Issuer(env, site, delivery)
    fresh = []
    for peer in peers:
        old = _member(site, peer)
        mark = issuer.issue(peer.name, peer.addresses[0])
        generation = old.generation if old else 0
        fresh.append(evolve(peer, member=issuer.statement.of(peer.name, mark, peer.groups, generation)))
    await write(env, fresh)
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
        *(f"New group: {group}{_similar(group, site)}" for group in unknown),
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
    gone = {peer.name for peer in peers}
    left = site.without(gone)
    after = rewired(env, left)
    affected = changed(left, after)
    if not await env.talk.agreed([f"Remove: {names(peers)}", f"Changed neighbours: {names(affected)}"]):
        return
    marks = sorted({old.fingerprint for peer in peers if (old := _member(site, peer))})
    await _revoke_if_possible(env, site, marks)
    await write(env, affected)
    for name in sorted(gone):
        await env.directory.remove_peer(name)
    await tell(env, after, affected)


@deferred
async def revoke(env: Environment, marks: Sequence[Digest]) -> None:
    """Let no peer accept these keys any more, by the next root document."""
    site = await survey(env)
    if not await env.talk.agreed([f"Revoke: {' '.join(marks)}"]):
        return
    if env.keys.root_signer() is None:
        raise BadInput(f"the root key is not at hand: bring it to {env.keys.places.root_key}")
    await _revoke_if_possible(env, site, marks)
    await tell(env, site, site.peers)


async def _revoke_if_possible(env: Environment, site: Site, marks: Sequence[Digest]) -> None:
    signer = env.keys.root_signer()
    root = site.keyring.root
    if signer is None or root.threshold > 1:
        env.talk.say(
            "Without the root key their keys are not revoked: removed nodes can still greet peers that do not"
            f" know it yet.  Where the root key is: clumptconf revoke {' '.join(marks)}"
        )
        return
    version = root.version + 1
    following = evolve(root, version=version, revoked=root.revoked | set(marks), issued=int(env.now()))
    envelope = signer.sign_root(following)
    # Judged as every peer will judge it, before it is published.
    site.keyring.learn_root(envelope)
    await env.directory.add_root(version, envelope)
    env.talk.say(f"Revoked their keys by root document {version}.")


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
