"""What a tool works with, from the configuration: its own identity, and a network to call peers with."""

from __future__ import annotations

from random import Random
from typing import Any

from attrs import evolve

from clumpt.config import Config
from clumpt.interfaces import INetwork
from clumpt.model import PeerName
from clumpt.protocols.client import Network
from clumpt.protocols.tls import TlsSecurity

#: What the files of the tools' identities are called, beside those of the node (C{[tls] certificate}).
ADMIN_FILES = "admin"
SUBMITTER_FILES = "submitter"


def as_tool(config: Config, files: str) -> Config:
    """
    C{config} with the identity of a tool instead of the node's.

    A tool's certificate and key are C{FILES.pem} and C{FILES-key.pem} beside the node's own, so that a
    node can be an administrator's machine too.  If they are not there, C{[tls]} names them itself.
    """
    folder = config.tls.certificate.parent
    certificate = folder / f"{files}.pem"
    if not certificate.exists():
        return config
    return evolve(config, tls=evolve(config.tls, certificate=certificate, key=folder / f"{files}-key.pem"))


def calling_network(config: Config, reactor: Any, random: Random) -> INetwork:
    """
    A network for a tool that calls peers and is not called, with the identity in C{config}.

    Raises L{clumpt.errors.ConfigurationError} if its certificate cannot be used.
    """
    security = TlsSecurity(reactor, config.tls.ca, config.tls.certificate, config.tls.key)
    name: PeerName = security.own[0]
    return Network(reactor, reactor, random, security, name)
