"""C{clumpt retry}, C{withdraw} and C{seed}: about an update that is registered already (H6)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.usage import UsageError

from clumpt.aio import deferred
from clumpt.apps.desk import Desk
from clumpt.apps.following import watch
from clumpt.apps.nodes import chosen, fold
from clumpt.apps.submitting import make_plan, plan_again
from clumpt.apps.verbs.ordering import OrderOptions, SeedOptions, bring, carry_out
from clumpt.apps.verbs.words import whole
from clumpt.errors import BadInput, NothingMatched
from clumpt.model import PeerName, Seq, Update
from clumpt.order import again, withdrawal
from clumpt.progress import Stage
from clumpt.store.offered import Offered


class _OneUpdate:
    """The only argument is the id of an update."""

    seq: Seq

    def parseArgs(self, seq: str = "") -> None:
        """Take the id."""
        try:
            self.seq = whole(seq)
        except ValueError:
            raise UsageError("name the update by its number; clumpt list shows them") from None


class RetryOptions(_OneUpdate, OrderOptions):
    """C{clumpt retry SEQ}."""

    synopsis = "retry SEQ [-w NODES] [options]"
    longdesc = "Try an update again where it failed or is held; the nodes still have its files."
    optParameters: list[list[Any]] = [["nodes", "w", None, "Only on these nodes of those."]]

    def act(self, desk: Desk) -> Deferred[int]:
        """Try again."""
        return retry(desk, self)


@deferred
async def retry(desk: Desk, options: RetryOptions) -> int:
    """Submit the update anew for the nodes on which it failed or is held; fires with the exit status."""
    update = (await desk.entry(options.seq)).update
    nodes = await _unhappy(desk, update, options["nodes"])
    plan = await make_plan(desk, again(update, nodes, options["why"] or ""), options["initial"] or 0)
    return await carry_out(desk, options, plan, Offered())


async def _unhappy(desk: Desk, update: Update, named: str | None) -> frozenset[PeerName]:
    peers = await desk.directory.peers()
    watching = await watch(desk, update, peers)
    seen = await watching.look()
    if watching.withdrawn_by:
        raise BadInput(f"update {update.seq} was withdrawn by update {watching.withdrawn_by}")
    nodes = {*seen.on(Stage.FAILED), *seen.on(Stage.HELD)}
    if not nodes:
        raise NothingMatched(f"update {update.seq} failed nowhere, so there is nothing to try again")
    if named:
        wanted = {peer.name for peer in chosen(named, peers)}
        if fine := wanted - nodes:
            raise NothingMatched(f"update {update.seq} did not fail on {fold(fine)}")
        nodes = wanted
    return frozenset(nodes)


class WithdrawOptions(_OneUpdate, OrderOptions):
    """C{clumpt withdraw SEQ}."""

    synopsis = "withdraw SEQ [options]"
    longdesc = "Keep an update from being run wherever it was not run yet; what is done stays done."

    def act(self, desk: Desk) -> Deferred[int]:
        """Withdraw."""
        return withdraw(desk, self)


@deferred
async def withdraw(desk: Desk, options: WithdrawOptions) -> int:
    """Submit a withdrawal for those whom the update concerns; fires with the exit status."""
    update = (await desk.entry(options.seq)).update
    peers = await desk.directory.peers()
    watching = await watch(desk, update, peers)
    seen = await watching.look()
    if watching.withdrawn_by:
        raise BadInput(f"update {update.seq} was withdrawn already, by update {watching.withdrawn_by}")
    if done := seen.on(Stage.DONE):
        desk.screen.say(f"it is done on {fold(done)}, which stays so")
    plan = await plan_again(desk, update, options["initial"] or 0, withdrawal(update, options["why"] or ""))
    return await carry_out(desk, options, plan, Offered())


class SeedVerbOptions(SeedOptions):
    """C{clumpt seed SEQ FILE...}."""

    synopsis = "seed SEQ [FILE...] [options]"
    longdesc = "Bring a registered update to peers once more, if whoever submitted it was cut off."

    def parseArgs(self, seq: str = "", *files: str) -> None:
        """Take the id and the files."""
        try:
            self.seq = whole(seq)
        except ValueError:
            raise UsageError("name the update by its number, then its files") from None
        self.files = [Path(file) for file in files]

    def act(self, desk: Desk) -> Deferred[int]:
        """Seed."""
        return seed(desk, self)


@deferred
async def seed(desk: Desk, options: SeedVerbOptions) -> int:
    """Serve the files of an update, and tell peers of it; fires with the exit status."""
    entry = await desk.entry(options.seq)
    offered = Offered()
    try:
        known = {package.sha256: package for package in entry.update.packages}
        for file in options.files:
            digest, pieces = await desk.in_thread(offered.offer, file)
            if digest not in known:
                raise BadInput(f"{file} is no file of update {entry.seq}; clumpt info {entry.seq} shows them")
            signed = known[digest].pieces
            if pieces != signed:
                # It was for another number of peers, or another version cut it.
                await desk.in_thread(offered.offer, file, lambda total, size=signed.size: size)
        plan = await plan_again(desk, entry.update, options["initial"] or 0)
        return await bring(desk, options, plan, entry, offered)
    finally:
        offered.withdraw()
