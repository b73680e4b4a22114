"""The rooms that tools and daemon furnish alike, from the configuration."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.ssl import Certificate, PrivateCertificate, trustRootFromCertificates

from clumpt.config import Config
from clumpt.errors import ConfigurationError
from clumpt.ldap.connection import Servers
from clumpt.ldap.directory import LdapDirectory
from clumpt.ldap.dn import Tree
from clumpt.ldap.servers import Credentials, Dialler, External, Reach, Simple, Tls, Uri, over_network


def read(path: Any, what: str) -> bytes:
    """The contents of a file that the configuration names; raises L{ConfigurationError}."""
    try:
        return bytes(path.read_bytes())
    except OSError as trouble:
        raise ConfigurationError(f"{path}: cannot read {what}: {trouble.strerror}") from trouble


def ldap_tls(config: Config) -> Tls:
    """Who we are to the directory, and who may vouch for it; raises L{ConfigurationError}."""
    ca = read(config.tls.ca, "the authority of the cluster")
    pair = read(config.tls.certificate, "this node's certificate") + read(
        config.tls.key, "this node's private key"
    )
    try:
        return Tls(trustRootFromCertificates([Certificate.loadPEM(ca)]), PrivateCertificate.loadPEM(pair))
    except Exception as wrong:  # noqa: BLE001  # OpenSSL has no common class for what it cannot read
        raise ConfigurationError(f"{config.tls.certificate}, {config.tls.key}: not a usable pair") from wrong


def credentials(config: Config) -> Credentials:
    """How we log in to the directory; raises L{ConfigurationError}."""
    directory = config.directory
    if directory.bind == "external":
        return External()
    assert directory.bind_password_file is not None  # the configuration file was refused otherwise
    password = read(directory.bind_password_file, "the password for the directory")
    return Simple(directory.bind_dn, password.decode().splitlines()[0] if password.strip() else "")


def directory(config: Config, clock: IReactorTime, reach: Reach, tls: Tls | None) -> LdapDirectory:
    """
    The directory as C{config} says.

    @param reach: how a server is reached.
    @param tls: for StartTLS on C{ldap} addresses; None in a simulation.
    """
    wanted = config.directory
    dialler = Dialler(
        clock,
        reach,
        credentials(config),
        start_tls=tls if wanted.starttls else None,
        allow_plain=wanted.allow_plain,
        attempt=min(5.0, wanted.timeout),
        timeout=wanted.timeout,
    )
    uris = [Uri.parse(uri) for uri in wanted.uris]
    return LdapDirectory(Servers(uris, dialler, Uri.parse(wanted.provider)), Tree(wanted.base))


def real_directory(config: Config, reactor: Any) -> LdapDirectory:
    """The directory over the network, with the certificate of this node."""
    tls = ldap_tls(config)
    return directory(config, reactor, over_network(reactor, tls), tls)
