"""The embedded server lets each role do what it may and nothing else."""

from tests.acl_matrix import (
    ALLOWED,
    ANONYMOUS,
    BASE,
    MISSING,
    OTHER,
    OTHERS,
    PEOPLED,
    REFUSED,
    done,
    outcomes,
)
from tests.embedded_case import EmbeddedCase
from tests.ldapclient import REPLACE

CERTIFICATES = {
    "stranger": "CN=node001,O=elsewhere",
    "peer": "CN=node001,OU=peers,O=clumpt",
    "submitter": "CN=clumpt-submitter",
    "replicator": "CN=clumpt-replicator",
    "admin": "CN=clumpt-admin,O=clumpt",
}


class AccessTests(EmbeddedCase):
    """The same table that OpenLDAP is held to."""

    more = PEOPLED

    def matrix(self, role: str) -> dict[str, int]:
        client = self.connect(CERTIFICATES.get(role, ""))
        if role in CERTIFICATES:
            self.assertEqual(self.ask(client.external()), 0)
        codes: dict[str, int] = self.ask(outcomes(client))
        self.assertEqual(done(codes), ALLOWED[role])
        return codes

    def test_anonymous(self) -> None:
        """Who is not bound sees nothing but the root, and is told to bind before writing."""
        codes = self.matrix("anonymous")
        self.assertLessEqual(set(codes.values()), {MISSING, REFUSED, ANONYMOUS})

    def test_stranger(self) -> None:
        """A certificate that names no role gets nothing."""
        self.matrix("stranger")

    def test_peer(self) -> None:
        """A peer reads everything but secrets, and writes its own status alone (R18)."""
        self.matrix("peer")

    def test_submitter(self) -> None:
        """A submitter adds updates and can never change or remove one."""
        self.matrix("submitter")

    def test_replicator(self) -> None:
        """A replica reads everything and writes nothing."""
        self.matrix("replicator")

    def test_admin(self) -> None:
        """The administrators may do everything."""
        self.matrix("admin")

    def test_removed_peer(self) -> None:
        """A peer that was removed can do nothing more, though it is still connected."""
        peer = self.connect("CN=node002")
        self.assertEqual(self.ask(peer.external()), 0)
        self.assertEqual(self.ask(peer.modify(OTHERS, (REPLACE, "clumptHead", ["2"]))), 0)
        self.assertEqual(self.ask(self.admin().delete(OTHER)), 0)
        self.assertEqual(self.ask(peer.modify(OTHERS, (REPLACE, "clumptHead", ["3"]))), REFUSED)
        self.assertEqual(self.ask(peer.search(BASE))[0], MISSING)
