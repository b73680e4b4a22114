"""
A part of the loopback for one demonstration: every peer has an address of its own, and the usual ports.

All of 127.0.0.0/8 is this machine, so that nobody else can reach it and no other program listens there.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import EADDRINUSE, EADDRNOTAVAIL
from random import Random
from socket import AF_INET, SOCK_STREAM, socket

from attrs import frozen

from clumpt.errors import BadInput

#: How many parts are tried.
_TRIES = 50
#: Who is at which address: the peers come first.
MOST_PEERS = 200
_DIRECTORY, _SUBMITTER = 253, 254
#: The ports of peers and directory; below 1024 nobody may listen who is not root.
NOTIFY, UPDATE, LDAPS = 4417, 4418, 6636


@frozen
class Net:
    """The addresses that begin with C{prefix}, three numbers."""

    prefix: str

    def peer(self, number: int) -> str:
        """The address of a peer, from 1 on."""
        return f"{self.prefix}.{number}"

    @property
    def directory(self) -> str:
        """The address of the directory."""
        return f"{self.prefix}.{_DIRECTORY}"

    @property
    def submitter(self) -> str:
        """The address of the administrator's machine."""
        return f"{self.prefix}.{_SUBMITTER}"


def is_free(host: str, port: int) -> bool:
    """Does nobody listen there?  Raises L{BadInput} if this machine does not have such addresses."""
    with socket(AF_INET, SOCK_STREAM) as probe:
        try:
            probe.bind((host, port))
        except OSError as trouble:
            if trouble.errno == EADDRNOTAVAIL:
                raise BadInput(
                    f"this machine has no address {host}: all of 127.0.0.0/8 must be its own, as on Linux"
                ) from trouble
            if trouble.errno == EADDRINUSE:
                return False
            raise
    return True


def free_net(random: Random, free: Callable[[str, int], bool] = is_free) -> Net:
    """
    A part of the loopback that no other demonstration uses.

    @param free: does nobody listen at this address and port?
    @raise BadInput: if none is found.
    """
    for _ in range(_TRIES):
        net = Net(f"127.{random.randint(1, 254)}.{random.randint(0, 255)}")
        if free(net.directory, LDAPS) and free(net.peer(1), NOTIFY):
            return net
    raise BadInput(
        "the loopback is full of demonstrations: clumpt demo --stop ends those that were left running"
    )
