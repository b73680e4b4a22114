"""What the verbs of clumptconf work with: everything as arguments, and what the directory says."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from random import Random
from typing import Protocol

from attrs import define, evolve, frozen
from twisted.internet.defer import Deferred

from clumpt.aio import deferred
from clumpt.apps.conf_keys import Keys
from clumpt.apps.conf_talk import Talk
from clumpt.config import Config
from clumpt.errors import IdentityError
from clumpt.interfaces import IDirectory, INetwork
from clumpt.model import Group, Peer, PeerName, Settings
from clumpt.trust.keyring import Keyring


class Setup(Protocol):
    """What a directory can do that is set up anew; L{clumpt.ldap.directory.LdapDirectory} can."""

    def initialise(self, settings: Settings) -> Deferred[None]:
        """Create the base and the branches; what is there stays."""

    def verify_schema(self) -> Deferred[Sequence[str]]:
        """What is missing of the schema."""


@define(eq=False)
class Environment:
    """
    All that a verb needs.

    @ivar network: makes a network to call peers with, as the administrator.
    @ivar now: the wall clock, in seconds since the epoch.
    """

    config: Config
    directory: IDirectory
    setup: Setup
    keys: Keys
    network: Callable[[], INetwork]
    random: Random
    now: Callable[[], float]
    talk: Talk


@frozen
class Site:
    """
    What the directory says, as far as it concerns who is who.

    @ivar peers: by name; the administrators' tools too, which are in no group.
    """

    settings: Settings
    peers: tuple[Peer, ...]
    groups: tuple[Group, ...]
    keyring: Keyring

    def with_peers(self, peers: Collection[Peer]) -> Site:
        """The same with these C{peers} instead of those of the same names, or besides."""
        by_name = {peer.name: peer for peer in (*self.peers, *peers)}
        return evolve(self, peers=tuple(by_name[name] for name in sorted(by_name)))

    def without(self, names: Collection[PeerName]) -> Site:
        """The same without the peers of these C{names}."""
        return evolve(self, peers=tuple(peer for peer in self.peers if peer.name not in names))


@deferred
async def survey(env: Environment) -> Site:
    """
    Read the directory.

    Fails with L{IdentityError} if it is another deployment's, and as the directory does.
    """
    settings = await env.directory.settings()
    published = await env.directory.root_documents()
    if not published:
        raise IdentityError("the directory has no root document yet: clumptconf publish brings it there")
    keyring = env.keys.keyring(published)
    if keyring.deployment != settings.deployment:
        raise IdentityError(
            f"the directory belongs to deployment {settings.deployment}, this is {keyring.deployment}"
        )
    peers, groups = await env.directory.peers(), await env.directory.groups()
    return Site(settings, tuple(peers), tuple(groups), keyring)
