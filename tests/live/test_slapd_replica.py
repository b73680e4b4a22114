"""A provider and a replica (R16, R43)."""

from collections.abc import Awaitable, Callable

from twisted.internet import reactor

from clumpt.aio import deferred, sleep
from clumpt.testing.slapd import Slapd
from tests.acl_matrix import BASE, GROUP, OTHER, OTHERS, PEOPLED, UPDATE
from tests.ldapclient import ADD, REPLACE, Client
from tests.live.slapd_case import SlapdCase

REFERRAL = 10


class ReplicaTests(SlapdCase):
    """Two servers, the second following the first."""

    @deferred
    async def pair(self) -> tuple[Slapd, Slapd]:
        provider = await self.slapd("provider", more=PEOPLED)
        return provider, await self.slapd("replica", provider=provider)

    @deferred
    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        while not await holds():  # The test's own timeout ends this.
            await sleep(reactor, 0.05)

    @deferred
    async def replica_client(self, replica: Slapd) -> Client:
        """A peer's connection, once the replica has received everything."""
        client = await self.connect(replica, "CN=node001")

        async def complete() -> bool:
            return (await client.search(UPDATE, 0))[0] == 0 and (await client.search(OTHERS, 0))[0] == 0

        await self.until(complete)
        return client

    @deferred
    async def test_follows(self) -> None:
        """What is written at the provider, in either database, is read at the replica."""
        provider, replica = await self.pair()
        reader = await self.replica_client(replica)
        admin = await self.as_admin(provider)
        self.assertEqual(await admin.modify(GROUP, (ADD, "member", [OTHER])), 0)
        self.assertEqual(await admin.modify(OTHERS, (REPLACE, "clumptHead", ["7"])), 0)

        async def arrived() -> bool:
            _, groups = await reader.search(GROUP, 0)
            _, statuses = await reader.search(OTHERS, 0)
            return len(groups[GROUP]["member"]) == 2 and statuses[OTHERS]["clumptHead"] == [b"7"]

        await self.until(arrived)

    @deferred
    async def test_refers(self) -> None:
        """A write at the replica is answered with a referral, never taken."""
        _, replica = await self.pair()
        await self.replica_client(replica)
        admin = await self.connect(replica, "CN=clumpt-admin")
        self.assertEqual(await admin.modify(GROUP, (ADD, "member", [OTHER])), REFERRAL)

    @deferred
    async def test_provider_killed(self) -> None:
        """The provider dies: the replica goes on answering, to passwords too, and catches up afterwards."""
        provider, replica = await self.pair()
        reader = await self.replica_client(replica)
        await provider.kill()
        self.assertEqual((await reader.search(BASE))[0], 0)
        fresh = await self.as_peer(replica)
        self.assertEqual((await fresh.search(UPDATE, 0))[0], 0)
        await provider.start()
        admin = await self.as_admin(provider)
        self.assertEqual(await admin.modify(GROUP, (ADD, "member", [OTHER])), 0)

        async def arrived() -> bool:
            _, groups = await fresh.search(GROUP, 0)
            return len(groups[GROUP]["member"]) == 2

        await self.until(arrived)
