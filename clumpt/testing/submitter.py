"""The submitter of a simulated cluster: brings updates to peers with the code of the real one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define
from zope.interface import implementer

from clumpt.agent.errand import Errand, Seeded, share
from clumpt.agent.rate import Bucket
from clumpt.agent.serve import Server
from clumpt.agent.submission import Submission
from clumpt.aio import deferred
from clumpt.interfaces import IPieces
from clumpt.model import Entry, Package, PeerName
from clumpt.pieces import Bits, digest_of
from clumpt.protocols.client import Network
from clumpt.testing.site import DESK

if TYPE_CHECKING:
    from clumpt.testing.cluster import Cluster

__all__ = ["SUBMITTER", "Submitter"]

SUBMITTER = PeerName("clumpt-submitter")


@implementer(IPieces)
@define(eq=False)
class Submitter:
    """
    Sits at the administrators' desk, and has every package that was ever submitted.

    @ivar initial: the percentage of the peers that is told.
    """

    cluster: Cluster
    initial: int = 20

    def held(self, package: Package) -> Bits:
        """See L{IPieces}."""
        return Bits.full(package.pieces.count)

    def hashes(self, package: Package) -> bytes:
        """See L{IPieces}."""
        pieces = range(package.pieces.count)
        return b"".join(bytes.fromhex(digest_of(self.read(package, index))) for index in pieces)

    def read(self, package: Package, index: int) -> bytes:
        """See L{IPieces}."""
        at = package.pieces.offset(index)
        return self.cluster.contents[package.sha256][at : at + package.pieces.length(index)]

    @deferred
    async def deliver(self, entry: Entry, patience: float) -> None:
        """Bring it again and again, for C{patience} seconds each time, until it reaches an honest peer."""
        seeded = await self.bring(entry, patience)
        while not seeded.received & {machine.name for machine in self.cluster.machines.values()}:
            seeded = await self.bring(entry, patience)

    @deferred
    async def bring(self, entry: Entry, within: float) -> Seeded:
        """Bring a registered update to some of those whom it concerns; fires with whom it reached."""
        cluster = self.cluster
        reactor, random = cluster.network.host(DESK).reactor, cluster.world.random
        network = Network(reactor, reactor, random, cluster.security, SUBMITTER)
        server = Server(reactor, random, self, Bucket(0.0), True, network.links, lambda package: True)
        keys = cluster.keys
        greeting = (keys.name, entry.seq, entry.digest, keys.member(SUBMITTER, ()))
        submission = Submission(greeting, keys.keyring(), reactor, random, network, server)
        await network.start(submission)
        candidates = {
            peer.name: peer.addresses
            for peer in cluster.enrolled.values()
            if entry.update.concerns(peer.name, peer.groups)
        }
        earlier = {one.seq: one.envelope for one in keys.entries[: entry.seq - 1]}
        errand = Errand([entry], earlier, candidates, share(len(candidates), self.initial))
        seeded: Seeded = await submission.run(errand, within)
        submission.stop()
        await network.stop()
        return seeded
