"""Orders that fail, and neighbours that lie or say nothing, met by whole peers as processes."""

import json
from base64 import b64encode
from re import search
from typing import Any

from attrs import evolve, frozen
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol

from clumpt.aio import deferred, sleep
from clumpt.install.spool import Spool
from clumpt.model import Action, State
from clumpt.protocols.tls import TlsSecurity
from clumpt.testing.keys import signer
from tests.live.badcase import BadCase, said
from tests.live.killcase import ALL
from tests.live.killkit import FINISHED
from tests.live.verdicts import Victim

#: An update that never comes: a peer that waits for it goes on.
ENDLESS = 1_000_000


@frozen
class Failing:
    """
    An order that cannot be carried out as it is.

    @ivar order: what is signed, besides for whom.
    @ivar state: how it ends, with C{code} and a reason that has these C{words}.
    """

    wrong: str
    order: dict[str, Any]
    state: State
    code: int | None = None
    words: str = ""


def shell(script: str, **more: Any) -> dict[str, Any]:
    """An order to run a script."""
    return {"action": Action.RUN, "installer": "command", "argv": ("/bin/sh", "-c", script), **more}


FAILING = (
    Failing(
        "unknown installer",
        {"installer": "frobnicate", "targets": ("x",), "action": Action.REMOVE},
        State.FAILED,
        None,
        "the installer frobnicate is not allowed on this node",
    ),
    Failing(
        "installer not allowed",
        {"installer": "rpm", "targets": ("x",), "action": Action.REMOVE},
        State.FAILED,
        None,
        "the installer rpm is not allowed on this node (allow, in [install])",
    ),
    Failing(
        "no such program", shell("") | {"argv": ("/no/such/program",)}, State.FAILED, None, "is not installed"
    ),
    Failing(
        "fails", shell("echo error: no luck; exit 7"), State.FAILED, 7, "sh ended with 7: error: no luck"
    ),
    Failing("requires what failed", shell("true", requires=(4,)), State.FAILED, None, "it requires update 4"),
    Failing("hangs", shell("sleep 60", timeout=1), State.FAILED, -15, "sh timed out after 1 s"),
    Failing("forks a daemon", shell("sleep 5 & echo daemon"), State.DONE, 0),
    Failing("floods", shell("yes | head -c 3000000"), State.DONE, 0),
)


class OrderTests(BadCase):
    """Orders that fail, each in its way: the failure is reported, and what comes after goes on."""

    def sign(self) -> None:
        for row in FAILING:
            self.deployment.sign(groups=ALL, **row.order)
        self.debs = []
        self.deployment.sign(**shell('cd "$CLUMPT_ROOT/.."; echo 9 >> ran', groups=ALL))

    @deferred
    async def test_orders(self) -> None:
        """The directory is told of each failure, with status and reason; none stands in the way of others."""
        victim = await self.victim("v")
        self.assertEqual(await self.live(victim), FINISHED, said(victim.folder))
        report = await self.report(victim)
        self.assertEqual(report.settled, len(FAILING) + 1)
        failures = {failure.seq: failure for failure in report.failures}
        for seq, row in enumerate(FAILING, 1):
            failure = failures.pop(seq, None)
            if row.state is State.DONE:
                self.assertIsNone(failure, row.wrong)
            else:
                self.assertIsNotNone(failure, row.wrong)
                self.assertEqual((failure.state, failure.code), (row.state, row.code), row.wrong)
                self.assertIn(row.words, failure.reason, row.wrong)
        self.assertEqual((failures, victim.ran()), ({}, [9]))
        output = victim.folder / f"state/spool/{len(FAILING)}-1.output"
        self.assertEqual(output.stat().st_size, 64 * 1024)
        self.assertNotIn("Traceback", said(victim.folder))


class NeighbourTests(BadCase):
    """Neighbours that lie, or say nothing, and strangers."""

    def forge(self) -> dict[str, bytes]:
        """Envelopes that nobody must take for update 4, by what is said of them."""
        update = self.deployment.update(groups=ALL)
        good = self.deployment.submit_key.sign_update(update).envelope
        elsewhere = self.deployment.submit_key.sign_update(evolve(update, deployment="other")).envelope
        unsigned = json.dumps({**json.loads(good), "signatures": []}).encode()
        return {
            "0 of the 1 signatures needed": signer("a stranger").sign_update(update).envelope,
            "update 4 is for deployment other, this is test": elsewhere,
            "envelope: 0 signatures": unsigned,
            "no strict JSON": b"\xff" + good,
        }

    @deferred
    async def test_forged(self) -> None:
        """Envelopes not signed, signed by a stranger or for another deployment are named, and never run."""
        forged = self.forge()
        (self.folder / "liar").mkdir()
        (self.folder / "liar/forged").write_bytes(b"\n".join(map(b64encode, forged.values())))
        await self.neighbour("liar", "forged")
        victim = await self.victim("v", ("liar",))
        self.live(victim, head=ENDLESS)
        for words in forged:
            wanted = f"liar sent an update that is not good: {words}"
            await self.until(lambda wanted=wanted: wanted in said(victim.folder))
        await self.until(lambda: "update 3 (hello 2.0) is done" in said(victim.folder))
        await self.kill(victim)
        await self.live(victim)
        await self.check_good(victim)

    @deferred
    async def test_replayed(self) -> None:
        """Updates that are sent again, and later ones without those between, change nothing."""
        replayed = [entry.envelope for entry in self.deployment.entries]
        ahead = self.deployment.submit_key.sign_update(self.deployment.update(groups=ALL, seq=9))
        (self.folder / "liar").mkdir()
        (self.folder / "liar/forged").write_bytes(b"\n".join(map(b64encode, (*replayed, ahead.envelope))))
        await self.neighbour("liar", "forged")
        victim = await self.victim("v", ("liar",))
        await self.live(victim)
        await self.check_good(victim)

    @deferred
    async def test_other_history(self) -> None:
        """An update that is signed and contradicts the table stops everything, and the directory is told."""
        other = self.deployment.submit_key.sign_update(self.deployment.update(groups=ALL, seq=3))
        (self.folder / "liar").mkdir()
        (self.folder / "liar/forged").write_bytes(b64encode(other.envelope))
        await self.neighbour("liar", "forged")
        victim = await self.victim("v", ("liar",))
        self.live(victim, head=ENDLESS)
        # Whichever of the two came later is the one that contradicts.
        words = r"two histories were signed: update 3 from (liar|the directory) contradicts"
        await self.until(lambda: search(words, said(victim.folder)))
        report = None
        while report is None or report.state != "forked":
            await sleep(reactor, 0.05)
            report = await self.report(victim)
        self.assertEqual(report.reason, "two histories were signed; nothing is run")
        # What was under way is brought to its end.
        begun = len(victim.ran()) + 1
        spool = Spool(victim.folder / "state/spool")
        spool.prepare()
        await self.until(lambda: not spool.busy())
        self.assertLessEqual(len(victim.ran()), begun)

    @deferred
    async def test_wrong_bytes(self) -> None:
        """A neighbour whose bytes are wrong is named and not asked again; others give what is right."""
        await self.neighbour("liar", "wrong bytes")
        victim = await self.victim("v", ("liar",))
        await self.live(victim)
        self.assertRegex(
            said(victim.folder), "liar sent wrong bytes of hello_.*: piece . is not the signed one"
        )
        await self.check_good(victim)

    @deferred
    async def test_silent(self) -> None:
        """A neighbour that never answers costs the time-out of a request, not the package."""
        await self.neighbour("mute", "silent")
        victim = await self.victim("v", ("mute", "seed"))
        await self.live(victim, twist="hasty")
        await self.check_good(victim)

    @deferred
    async def test_drip(self) -> None:
        """A neighbour whose pieces come at one byte a second is not waited for either."""
        await self.neighbour("drip", "drip")
        victim = await self.victim("v", ("drip", "seed"))
        await self.live(victim, twist="hasty")
        await self.check_good(victim)

    @deferred
    async def test_frames(self) -> None:
        """Frames too long, of no kind, or cut off end a line; the peer lives, and says what it heard."""
        stranger = await self.victim("v")
        ports = self.ports["seed"]
        for frame, words in FRAMES:
            for port in ports:
                raw = await self.connect(stranger, port)
                raw.transport.write(frame)
                if not words:
                    raw.transport.loseConnection()
                await raw.gone
            if words:
                self.assertIn(words, said(self.folder / "seed"))
        self.assertNotIn("Traceback", said(self.folder / "seed"))
        await self.live(stranger)
        await self.check_good(stranger)

    def connect(self, peer: Victim, port: int) -> Deferred[Any]:
        """A connection with the certificate of a peer that is enrolled."""
        folder = peer.folder
        security = TlsSecurity(
            reactor, self.folder / "ca.pem", folder / "peer.pem", folder / "peer-key.pem", "test"
        )
        endpoint = security.client(TCP4ClientEndpoint(reactor, "127.0.0.1", port))
        return endpoint.connect(Factory.forProtocol(Raw))


#: What is sent instead of a greeting, and what is said of it; nothing if it is we who hang up.
FRAMES = (
    (b"\xff\xff\xff\xff\x01", "a frame of kind 0x01 with 4294967295 bytes"),
    (b"\0\0\0\1\xee", "a frame of unknown kind 0xee"),
    (b"\0\0\0\0", "a frame of 0 bytes"),
    (b"\0\0\0\x40\x01{", ""),
    (b"\0\0", ""),
)


class Raw(Protocol):
    """Says nothing of its own accord."""

    def __init__(self) -> None:
        self.gone: Deferred[None] = Deferred()

    def connectionLost(self, reason: object) -> None:  # type: ignore[override] # Twisted's default argument
        self.gone.callback(None)
