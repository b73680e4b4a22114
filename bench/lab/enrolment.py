"""A whole cluster enrolled at once: keys, certificates, statements, neighbours and configurations."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

from attrs import frozen

from bench.lab.hosts import Host
from clumpt.agent.cache import encode_peers, encode_settings
from clumpt.model import Address, GroupName, Member, Peer, PeerName, Settings
from clumpt.trust.pki import SUBMITTER, Authority, Identity, Validity, certificate_digest, fingerprint
from clumpt.trust.root import Root, Submitter
from clumpt.trust.signer import Signer

DEPLOYMENT = "race"
GROUP = GroupName("all")
#: As whom the submitter links to peers.
LINKER = PeerName("submitter")
NOTIFY, UPDATE, LDAPS = 4417, 4418, 6636

_CONFIGURATION = """\
[peer]
name = {name}
state = {state}
listen = {listen}
[directory]
uris = ldaps://{directory}:{port}
[tls]
ca = ca.pem
certificate = {name}.pem
key = {name}-key.pem
[trust]
root = root.json
[install]
allow_command = yes
[submit]
key = submit-key.pem
"""


@frozen
class Shape:
    """
    How a cluster is knit.

    @ivar neighbours: N, how many peers each peer knows (R74); M = 2 and a ring are seen to.
    @ivar initial: percentage of the peers that the submitter tells (R62).
    """

    neighbours: int = 5
    initial: int = 20


def name_of(number: int) -> PeerName:
    """The name of the peer on host C{number}."""
    return PeerName(f"peer{number:04d}")


def neighbours(count: int, wanted: int, random: Random) -> list[list[int]]:
    """
    Whom each of peers 1..C{count} knows: the next one in a ring, and some chosen by chance.

    The ring makes it one cluster; everybody is known by two at least, if there are as many (H13).
    """
    chosen: list[list[int]] = []
    known_by = dict.fromkeys(range(1, count + 1), 0)
    for peer in range(1, count + 1):
        following = peer % count + 1
        others = [other for other in range(1, count + 1) if other not in (peer, following)]
        # Those who are known by few come first.
        others.sort(key=lambda other: (known_by[other] >= 2, random.random()))
        mine = [following, *others[: max(0, wanted - 1)]] if following != peer else []
        for other in mine:
            known_by[other] += 1
        chosen.append(mine)
    return chosen


def enrol(folder: Path, hosts: Sequence[Host], office: Host, shape: Shape, random: Random) -> None:
    """
    Write into C{folder} all that peers, directory and submitter need.

    The source of a race, host 0, is the submitter's machine; hosts 1 and up are peers.
    """
    valid = Validity(time.time(), 2)
    authority = Authority.create(DEPLOYMENT, valid)
    (folder / "ca.pem").write_bytes(authority.identity.certificate_pem)
    signer = _sign_root(folder, authority)
    _save(folder, "directory", authority.server([office.address], valid))
    count = len(hosts) - 1
    peers = [_submitter(folder, authority, signer, valid)]
    for number, known in enumerate(neighbours(count, shape.neighbours, random), start=1):
        name, address = name_of(number), hosts[number].address
        identity = authority.peer(name, [address], valid)
        _save(folder, name, identity)
        _configure(folder, name, address, office)
        peers.append(
            Peer(
                name,
                (Address(address, NOTIFY, UPDATE),),
                frozenset([GROUP]),
                _statement(signer, name, identity, [GROUP]),
                tuple(name_of(other) for other in known),
            )
        )
    _configure(folder, PeerName(SUBMITTER), hosts[0].address, office)
    settings = Settings(DEPLOYMENT, shape.neighbours, 2, shape.initial)
    (folder / "peers.json").write_bytes(encode_peers(peers))
    (folder / "settings.json").write_bytes(encode_settings(settings))
    known_to = {peer.name: list(peer.neighbours) for peer in peers}
    (folder / "neighbours.json").write_text(json.dumps(known_to))


def _sign_root(folder: Path, authority: Authority) -> Signer:
    signer = Signer.generate()
    root = Root(
        version=1,
        deployment=DEPLOYMENT,
        keys=(signer.public("race"),),
        root_keys=frozenset([signer.keyid]),
        submitters=(Submitter(signer.keyid, command=True),),
        enrollers=frozenset([signer.keyid]),
        issued=int(time.time()),
        ca=frozenset([certificate_digest(authority.identity.certificate)]),
    )
    (folder / "root.json").write_bytes(signer.sign_root(root))
    signer.save(folder / "submit-key.pem")
    return signer


def _submitter(folder: Path, authority: Authority, signer: Signer, valid: Validity) -> Peer:
    """Towards the directory it has a certificate of its own kind; among peers it is one, in no group."""
    _save(folder, SUBMITTER, authority.client(SUBMITTER, valid))
    identity = authority.peer(LINKER, [], valid)
    _save(folder, LINKER, identity)
    return Peer(LINKER, (), frozenset(), _statement(signer, LINKER, identity, []))


def _statement(signer: Signer, name: PeerName, identity: Identity, groups: Sequence[GroupName]) -> bytes:
    key, now = fingerprint(identity.certificate), int(time.time())
    return signer.sign_member(Member(DEPLOYMENT, name, 1, key, frozenset(groups), now))


def _save(folder: Path, name: str, identity: Identity) -> None:
    identity.save(folder / f"{name}.pem", folder / f"{name}-key.pem")


def _configure(folder: Path, name: PeerName, listen: str, office: Host) -> None:
    text = _CONFIGURATION.format(
        name=name, state=folder / "state" / name, listen=listen, directory=office.address, port=LDAPS
    )
    (folder / f"{name}.ini").write_text(text)
