"""A directory of which the schema is older than this Clumpt: the same is expected of every server."""

import re
from collections.abc import Callable
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from clumpt.aio import deferred
from clumpt.errors import DirectoryRefused
from clumpt.ldap import schema
from clumpt.ldap.directory import LdapDirectory
from clumpt.model import Group, GroupName, Peer, PeerName, PeerStatus
from clumpt.pieces import Digest
from clumpt.provenance import Provenance

OLD_PEER = PeerName("node001")
STATUS = PeerStatus(
    OLD_PEER, head=3, settled=2, seen=1_800_000_000, sources=((Digest("0" * 64), Provenance(submitter=5)),)
)


def without(*names: str) -> str:
    """The schema as it was before these attributes."""
    text = schema.text()
    for name in names:
        text = re.sub(
            rf"attributetype \( ClumptAttribute:\d+ NAME '{name}'.*?\n\n", "", text, flags=re.DOTALL
        )
        text = re.sub(rf" \$ {name}\b|\b{name} \$ ", "", text)
    return text


class OldSchema:
    """
    What is expected.

    @ivar make_old: makes a server with a schema; fires with the directory of its administrator, and that
        of L{OLD_PEER}.
    """

    make_old: Callable[[str], Deferred[tuple[LdapDirectory, LdapDirectory]]]
    # Any: of TestCase.
    assertEqual: Callable[..., Any]
    assertIn: Callable[..., Any]
    assertRaises: Callable[..., Any]

    @deferred
    async def test_groups(self) -> None:
        """Groups can be made and changed; a policy that cannot be kept is refused, not lost."""
        admin, _ = await self.make_old(without("clumptAllowedPackage", "clumptRefusedPackage"))
        plain = Group(GroupName("all"), "everybody", frozenset({"dpkg"}))
        await admin.put_group(plain)
        with self.assertRaises(DirectoryRefused) as caught:
            await admin.put_group(evolve(plain, refuses=frozenset({"telnetd"})))
        self.assertIn("older", str(caught.exception))
        self.assertEqual(await admin.groups(), [plain])

    @deferred
    async def enrol(self, admin: LdapDirectory) -> None:
        """Let the directory know the peer."""
        await admin.put_group(Group(GroupName("all")))
        await admin.put_peer(Peer(OLD_PEER, (), frozenset({GroupName("all")}), b"m"))

    @deferred
    async def test_report(self) -> None:
        """A peer reports what can be kept, says once what cannot, and the check names what is missing."""
        admin, peer = await self.make_old(without("clumptSource"))
        await self.enrol(admin)
        with capturedLogs() as logged:
            for _ in range(2):
                await peer.report(STATUS)
        said = [event for event in logged if "schema" in str(event.get("log_format"))]
        self.assertEqual(len(said), 1)
        self.assertIn("clumptSource", str(said[0]["no"]))
        found = (await admin.statuses())[OLD_PEER]
        self.assertEqual((found.head, found.settled, found.sources), (3, 2, ()))
        self.assertEqual(
            list(await admin.verify_schema()),
            [
                "attribute type clumptSource is missing",
                "object class clumptStatus is older than this program: it lacks clumptSource",
            ],
        )
