"""
The directory of a race, in a process of its own:

  python -m bench.lab.directory FOLDER ADDRESS PORT
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.endpoints import SSL4ServerEndpoint

from clumpt.agent.cache import decode_peers, decode_settings
from clumpt.ldap import codec, layout, schema
from clumpt.ldap.bootstrap import NewEntry, bootstrap
from clumpt.ldap.dn import Tree
from clumpt.ldap.embedded.passwords import Passwords
from clumpt.ldap.embedded.server import EmbeddedDirectory
from clumpt.ldap.embedded.store import Store
from clumpt.ldap.embedded.tls import server_options
from clumpt.model import Group, GroupName

BASE = "o=clumpt"


def entries(folder: Path) -> list[NewEntry]:
    """What the directory begins with, from what L{bench.lab.enrolment} wrote."""
    peers = decode_peers((folder / "peers.json").read_bytes())
    settings = decode_settings((folder / "settings.json").read_bytes())
    tree = Tree(BASE)
    made: list[NewEntry] = [*bootstrap(BASE, b"", settings, os.urandom(16).hex().encode())]

    def add(branch: str, kind: str, name: str, attributes: Any) -> None:
        given = {key: values for key, values in attributes.items() if values}
        whole = {"objectClass": [kind.encode()], "cn": [name.encode()], **given}
        made.append((tree.entry(branch, name), whole))

    root = (folder / "root.json").read_bytes()
    made.append((tree.entry(layout.TRUST, "root-1"), codec.document_attributes("root-1", 1, root)))
    for peer in peers:
        add(layout.PEERS, "clumptPeer", peer.name, codec.peer_attributes(peer))
    for name in sorted({group for peer in peers for group in peer.groups}):
        members = [tree.entry(layout.PEERS, peer.name).encode() for peer in peers if name in peer.groups]
        attributes = {**codec.group_attributes(Group(GroupName(name))), "member": members}
        add(layout.GROUPS, "clumptGroup", name, attributes)
    return made


def main(folder: Path, address: str, port: int) -> None:
    """Serve until the process is ended."""
    reactor: Any = installed
    store = Store(BASE, schema.load())
    store.fill(tuple(entries(folder)))
    pem = [(folder / name).read_bytes() for name in ("directory.pem", "directory-key.pem", "ca.pem")]
    directory = EmbeddedDirectory(store=store, clock=reactor, passwords=Passwords(os.urandom))
    listening = SSL4ServerEndpoint(reactor, port, server_options(*pem), interface=address).listen(directory)
    listening.addCallback(lambda _: print("ready", flush=True))
    reactor.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
