"""A package for several groups goes along trees: real peers, TLS sockets, a directory, disks."""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from clumpt.aio import deferred, sleep
from clumpt.apps.demonstration.bare_peers import BareInProcess
from clumpt.apps.demonstration.cluster import Cluster
from clumpt.apps.demonstration.deployment import AMD, INTEL, nodes
from clumpt.apps.submitting import Submitter, make_plan
from clumpt.apps.verbs.install import offer
from clumpt.install.packages import read_package
from clumpt.model import Action, Seq
from clumpt.order import Order
from clumpt.protocols.link import Link
from clumpt.store.offered import Offered
from clumpt.trees import TREES, Branch
from tests.submitting import package_file

#: Peers, half of them in each group; bytes of a package; seconds for it to reach everybody.
PEERS, SIZE, WITHIN = 8, 1_000_000, 60.0


class PushedTests(TestCase):
    """Eight peers in this process."""

    timeout = 2 * WITHIN

    @deferred
    async def spread(self, off: int) -> None:
        folder = self.mktemp()
        Path(folder).mkdir()
        self.patch(tempfile, "tempdir", folder)
        told: list[Branch] = []
        original = Link.branch

        def branch(link: Link, digest: Any, part: Branch) -> bool:
            told.append(part)
            return original(link, digest, part)

        self.patch(Link, "branch", branch)
        cluster, peers = Cluster(reactor, "embedded", lambda text: None), BareInProcess(reactor)
        try:
            await cluster.open()
            cluster.run_with(peers)
            await cluster.grow(nodes(PEERS))
            names = [node.name for node in nodes(PEERS)]
            await peers.stop(names[:off])
            seq = await self.submit(cluster, package_file(folder, data=os.urandom(SIZE)))
            await self.until(lambda: all(seq in peers.times(name) for name in names[off:]))
        finally:
            await cluster.close()
        there = set(names[off:])
        for tree in range(TREES):
            first = {part.first for part in told if part.tree == tree}
            # For each that is off, one leaf may be left without a place.
            self.assertEqual((first - there, len(there - first) <= off), (set(), True), f"tree {tree}")

    async def submit(self, cluster: Cluster, path: Path) -> Seq:
        metadata, offered = read_package(path), Offered()
        packages = await offer(cluster.desk, offered, [path], [metadata])
        order = Order(frozenset([INTEL, AMD]), Action.INSTALL, metadata.installer, packages)
        submitter = Submitter(cluster.desk, await make_plan(cluster.desk, order), offered)
        try:
            await submitter.open()
            entry = await submitter.register()
            await submitter.seed(entry, WITHIN)
        finally:
            await submitter.close()
        return entry.seq

    async def until(self, condition: Any) -> None:
        until = time.monotonic() + WITHIN
        while not condition():
            self.assertLess(time.monotonic(), until, "it did not come")
            await sleep(reactor, 0.05)

    async def test_all(self) -> None:
        """Everybody stands in both trees, and has the package soon."""
        await self.spread(0)

    async def test_off(self) -> None:
        """Others take the places of those that are off."""
        await self.spread(2)
