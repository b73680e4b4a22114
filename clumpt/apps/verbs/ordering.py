"""From an order to its end: show, ask, register, bring to the first peers, follow (R57-R65)."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from attrs import define, field
from twisted.internet.defer import CancelledError
from twisted.python.usage import UsageError

from clumpt.agent.errand import Seeded
from clumpt.aio import deferred
from clumpt.apps.desk import Desk
from clumpt.apps.display import Lines, about, display, fold_line, groups_of, plain, summary
from clumpt.apps.following import ending, follow, watch
from clumpt.apps.nodes import fold
from clumpt.apps.oneshot import Status, nowhere, tell
from clumpt.apps.screen import size
from clumpt.apps.submitting import Plan, Submitter
from clumpt.apps.verbs.words import VerbOptions, percent, seconds
from clumpt.model import Action, Entry
from clumpt.progress import Picture
from clumpt.store.offered import Offered

#: Seconds that C{--wait all} waits if nobody says how long.
FOLLOW = 3600.0


class SeedOptions(VerbOptions):
    """The options of every verb that brings something to peers."""

    optParameters: list[list[Any]] = [
        ["wait", None, "seeded", "End when the first peers have it (seeded), or when all are done (all)."],
        ["timeout", "t", None, "How long to wait at most, such as 90, 10m or 2h.", seconds],
        ["initial", None, None, "Percentage of the peers that are told first.", percent],
    ]

    def postOptions(self) -> None:
        """Check the words, and read the configuration."""
        if self["wait"] not in ("seeded", "all"):
            raise UsageError(f"--wait is seeded or all, not {self['wait']}")
        super().postOptions()

    @property
    def within(self) -> float:
        """Seconds to wait."""
        default = FOLLOW if self["wait"] == "all" else self.config.submit.timeout
        return float(self["timeout"] or default)


class OrderOptions(SeedOptions):
    """The options of every verb that gives an order."""

    optParameters: list[list[Any]] = [["why", "m", None, "Why it is done; shown in the history."]]
    optFlags = [
        ["dry-run", "s", "Show what would be done, and do nothing."],
        ["yes", "y", "Do not ask."],
    ]
    #: Is it too late to say that nothing was registered?
    begun = False

    @deferred
    async def main(self, reactor: Any, stdout: TextIO) -> int:
        """Do it, and fire with the exit status."""
        try:
            return int(await super().main(reactor, stdout))
        except CancelledError:
            if not self.begun:
                tell(sys.__stderr__ or nowhere(), "interrupted; nothing was registered")
            raise


@deferred
async def carry_out(desk: Desk, options: OrderOptions, plan: Plan, offered: Offered) -> int:
    """
    Do all that C{plan} needs, as C{options} say; fires with the exit status.

    @param offered: the files of its packages, empty if peers hold them.
    """
    show(desk, plan)
    if options["dry-run"]:
        desk.screen.say("nothing was done (dry run)")
        if options["json"]:
            desk.screen.json("plan", _plan_fields(plan))
        return Status.DONE
    if not await desk.screen.agree("Go on?", bool(options["yes"])):
        desk.screen.say("nothing was done")
        return Status.REFUSED
    options.begun = True
    return await _Errand(desk, options, plan, Submitter(desk, plan, offered)).run(None)


@deferred
async def bring(desk: Desk, options: SeedOptions, plan: Plan, entry: Entry, offered: Offered) -> int:
    """Bring an C{entry} that is registered to peers, as C{options} say; fires with the exit status."""
    return await _Errand(desk, options, plan, Submitter(desk, plan, offered)).run(entry)


def show(desk: Desk, plan: Plan) -> None:
    """Tell what is going to be done, and to whom."""
    order, say = plan.order, desk.screen.say
    for package in order.packages:
        say(f"{package.file}: {package.name} {package.version} ({package.arch}), {size(package.size)}")
    what = order.action.value if order.action is not Action.RUN else "run " + " ".join(order.argv)
    targets = f" {' '.join(order.targets)}" if order.targets else ""
    say(f"{what}{targets} with {order.installer}, first told: {plan.wanted} of {len(plan.targets)}")
    for group in sorted(order.groups):
        members = [peer.name for peer in plan.targets if group in peer.groups]
        say(f"{group}: {fold(members) or 'nobody'} ({len(members)})")


def _plan_fields(plan: Plan) -> dict[str, Any]:
    order = plan.order
    return {
        "action": order.action.value,
        "installer": order.installer,
        "groups": sorted(order.groups),
        "targets": list(order.targets),
        "concerns": [peer.name for peer in plan.targets],
        "initial": plan.wanted,
        "packages": [
            {"name": package.name, "version": package.version, "arch": package.arch, "sha256": package.sha256}
            for package in order.packages
        ],
    }


@define(eq=False)
class _Errand:
    """One submission, seen from the command line."""

    desk: Desk
    options: SeedOptions
    plan: Plan
    submitter: Submitter
    entry: Entry | None = field(default=None, init=False)
    _lines: Lines = field(init=False)

    @_lines.default
    def _on_the_screen(self) -> Lines:
        return Lines(self.desk.screen, self.desk.reactor.seconds)

    @deferred
    async def run(self, entry: Entry | None) -> int:
        """Register, unless C{entry} is already, and bring it to peers."""
        self.entry = entry
        end = self.desk.reactor.seconds() + self.options.within
        try:
            await self.submitter.open()
            if self.entry is None:
                self.entry = await self.submitter.register()
                self.desk.screen.say(f"registered as update {self.entry.seq}")
            left = max(0.0, end - self.desk.reactor.seconds())
            seeded = await self.submitter.seed(self.entry, left, self._reached_now)
            self._lines.close()
            if self.options["wait"] == "all" and seeded.received:
                left = max(0.0, end - self.desk.reactor.seconds())
                return self._followed(self.entry, await self._follow(self.entry, left), seeded)
            return self._seeded(self.entry, seeded)
        except CancelledError:
            self._interrupted()
            raise
        finally:
            self._doubt()
            await self.submitter.close()

    def _reached_now(self, so_far: Seeded) -> None:
        lost = f"; {len(so_far.unreachable)} cannot be reached now" if so_far.unreachable else ""
        self._lines.note(f"{len(so_far.received)} of {self.plan.wanted} have received it{lost}")

    async def _follow(self, entry: Entry, within: float) -> Picture:
        shown = display(
            self.desk.screen, groups_of(self.plan.targets, entry.update), self.desk.reactor.seconds
        )
        try:
            watching = await watch(self.desk, entry.update, self.plan.targets)
            return await follow(watching, self.desk, shown.show, within)
        finally:
            shown.close()

    def _seeded(self, entry: Entry, seeded: Seeded) -> int:
        enough = len(seeded.received) >= self.plan.wanted
        if self.options["json"]:
            self.desk.screen.json("submitted", {**about(entry.update), **_seeded_fields(self.plan, seeded)})
        else:
            self.desk.screen.write(f"update {entry.seq} ({entry.update.label}): {self._reached(seeded)}")
        if not enough:
            self._tell_missing(entry, seeded)
        return Status.DONE if enough else Status.SPREADING

    def _reached(self, seeded: Seeded) -> str:
        if not seeded.received:
            return "registered, and no peer has received it"
        return f"{len(seeded.received)} of {len(self.plan.targets)} peers hold it, and it spreads from them"

    def _tell_missing(self, entry: Entry, seeded: Seeded) -> None:
        say = self.desk.screen.say
        if seeded.unreachable:
            say(f"not reached: {fold(seeded.unreachable)}")
        if seeded.slow:
            say(f"told, and slow: {fold(seeded.slow)}")
        if not seeded.received and entry.update.packages:
            say(f"nobody has the files yet: when nodes are up, run clumpt seed {entry.seq} FILE...")
        say(f"look again with: clumpt status {entry.seq}")

    def _followed(self, entry: Entry, seen: Picture, seeded: Seeded) -> int:
        if self.options["json"]:
            self.desk.screen.json("submitted", {**plain(seen), **_seeded_fields(self.plan, seeded)})
        else:
            self.desk.screen.write(summary(seen))
            self.desk.screen.table(("STAGE", "PEERS", "WHO", "WHY"), map(fold_line, seen.folds))
        status = ending(seen)
        if status is Status.SPREADING:
            self.desk.screen.say(f"it goes on spreading; look again with: clumpt status {entry.seq}")
        return status

    def _interrupted(self) -> None:
        say = self.desk.screen.say
        if self.entry is None:
            say("interrupted" if self.submitter.unsure else "interrupted; nothing was registered")
            return
        if self.submitter.so_far.received or not self.entry.update.packages:
            say(f"interrupted; update {self.entry.seq} goes on spreading without this")
        else:
            say(f"interrupted; update {self.entry.seq} is registered, and no peer has its files yet:")
            say(f"bring them with: clumpt seed {self.entry.seq} FILE...")
        say(f"look again with: clumpt status {self.entry.seq}")

    def _doubt(self) -> None:
        if self.submitter.unsure is not None:
            seq = self.submitter.unsure.seq
            self.desk.screen.say(
                f"it is not known whether update {seq} was registered; see clumpt info {seq}"
            )
            self.desk.screen.say(f"if it is yours, bring it to peers with: clumpt seed {seq} FILE...")


def _seeded_fields(plan: Plan, seeded: Seeded) -> dict[str, Any]:
    return {
        "concerns": [peer.name for peer in plan.targets],
        "initial": plan.wanted,
        "received": sorted(seeded.received),
        "unreachable": sorted(seeded.unreachable),
        "slow": sorted(seeded.slow),
    }
