"""What a node is given: certificate, statement and bundle."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen
from cryptography.hazmat.primitives.serialization import Encoding

from clumpt.apps.conf_bundle import make_folder, node_files, write_folder, write_tar
from clumpt.apps.conf_env import Environment, Site
from clumpt.apps.conf_keys import Statement, load_certificate
from clumpt.model import Address, PeerName
from clumpt.pieces import Digest
from clumpt.trust.files import read
from clumpt.trust.pki import Authority, fingerprint


@frozen
class Delivery:
    """
    Where bundles are put.

    @ivar unpacked: as a folder for each node, rather than a tar archive.
    """

    folder: Path
    unpacked: bool = False


class Issuer:
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
            write_folder(files, self._delivery.folder / name)
        else:
            write_tar(files, self._delivery.folder / f"{name}.tar", self._now)
        return mark
