"""A directory that was set back to a backup: C{clumptconf repair-directory} (R13)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from clumpt.apps.conf_repair import repair_directory
from clumpt.errors import LinkLost
from clumpt.idset import IdSet
from clumpt.interfaces import ILink
from clumpt.model import Action, Address, Entry, GroupName, Update
from clumpt.pieces import Digest
from clumpt.trust.signer import Signer
from tests.conf_case import ConfCase, Link

PAGE = 2


class Knowing(Link):
    """A link to a peer that knows updates, and gives two at a time."""

    known: Sequence[bytes] = ()
    broken = False

    def table(self, have: IdSet) -> Deferred[Sequence[bytes]]:
        if self.broken:
            return fail(LinkLost("the line broke"))
        return succeed([one for seq, one in enumerate(self.known, 1) if seq not in have][:PAGE])


class RepairTests(ConfCase):
    """Three nodes that know five updates, of which the directory lost the last three."""

    def setUp(self) -> None:
        super().setUp()
        self.make()
        self.add("n1", "-g", "all", "-a", "10.0.0.1")
        self.add("n2", "-g", "all", "-a", "10.0.0.2")
        signer = Signer.load(self.out / "clumpt/submit-key.pem")
        self.entries: list[Entry] = []
        prev: Digest = self.env.keys.keyring().origin
        for seq in range(1, 6):
            update = Update(
                self.env.keys.keyring().deployment,
                seq,
                prev,
                f"s{seq}",
                0,
                frozenset({GroupName("all")}),
                Action.RUN,
                "command",
                argv=("/bin/true",),
            )
            self.entries.append(signer.sign_update(update))
            prev = self.entries[-1].digest
        for entry in self.entries[:2]:
            self.did(self.directory.register(entry))
        Knowing.known, Knowing.broken = [entry.envelope for entry in self.entries], False
        real = self.network.dial

        def dial(peer: Any, addresses: Sequence[Address]) -> Deferred[ILink]:
            def knowing(_: object) -> Any:
                return Knowing(self.network, peer)

            return real(peer, addresses).addCallback(knowing)

        self.network.dial = dial  # type: ignore[method-assign]  # these peers can be asked more

    def test_brought_back(self) -> None:
        """What the peers know is registered again, in order."""
        self.did(repair_directory(self.env))
        self.assertEqual(self.successResultOf(self.directory.head()), 5)
        self.assertIn("3 updates brought back; the newest is 5", self.stderr.getvalue())
        self.assertEqual(self.network.open, [])

    def test_nothing_lost(self) -> None:
        """A directory that lacks nothing stays as it is."""
        for entry in self.entries[2:]:
            self.did(self.directory.register(entry))
        self.did(repair_directory(self.env))
        self.assertIn("0 updates brought back", self.stderr.getvalue())

    def test_forged(self) -> None:
        """What is not signed is not registered, and it is said who gave it."""
        Knowing.known = [*Knowing.known[:3], Knowing.known[3][:-30] + b"x" * 30]
        self.did(repair_directory(self.env))
        self.assertEqual(self.successResultOf(self.directory.head()), 2)
        self.assertIn("n1 gives is not good", self.stderr.getvalue())

    def test_gap(self) -> None:
        """Nothing is registered beyond a gap."""
        Knowing.known = [*Knowing.known[:2], Knowing.known[3], Knowing.known[4]]
        self.did(repair_directory(self.env))
        self.assertEqual(self.successResultOf(self.directory.head()), 2)

    def test_silent(self) -> None:
        """Who cannot be reached or breaks off is left out, and named."""
        self.network.down.add("n1")
        Knowing.broken = True
        self.did(repair_directory(self.env))
        said = self.stderr.getvalue()
        self.assertIn("n2 does not give its updates", said)
        self.assertIn("cannot be reached: n1", said)

    def test_dry(self) -> None:
        """A dry run only says what would be done."""
        self.env.talk.dry = True
        self.did(repair_directory(self.env))
        self.assertEqual(self.successResultOf(self.directory.head()), 2)
        self.assertIn("3 updates would be brought back", self.stderr.getvalue())
