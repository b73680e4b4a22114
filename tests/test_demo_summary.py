"""What clumpt demo tells in the end, and on the way."""

import json
from io import StringIO
from typing import Any

from rich.console import Console
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from clumpt.apps.demonstration.figures import Figure, table
from clumpt.apps.demonstration.live import WIDTH, Live, bar, groups_of, picture
from clumpt.apps.demonstration.peers import Standing
from clumpt.apps.demonstration.show import Lines, show_on
from clumpt.apps.demonstration.submitting import View
from clumpt.apps.demonstration.summary import Result, Summary
from clumpt.apps.oneshot import Status
from clumpt.apps.submitting import Plan
from clumpt.model import Action, GroupName, Peer, PeerName, Settings
from clumpt.order import Order
from clumpt.progress import Picture, Progress, Stage
from tests.test_job import entry

NAMES = [PeerName(f"node{number:02}") for number in (1, 2, 3, 4)]
INTEL, ALL = GroupName("intel"), GroupName("all")


def a_view(*stages: Stage, sent: dict[PeerName, int] | None = None, standing: bool = True) -> View:
    """Update 1 on so many of four peers, of which two are of a smaller group."""
    peers = tuple(
        Peer(name, (), frozenset({ALL, INTEL} if name in NAMES[:2] else {ALL}), b"") for name in NAMES
    )
    update = entry(1)
    stands = {
        name: Progress(stage, "" if stage is Stage.DONE else "no room")
        for name, stage in zip(NAMES, stages, strict=False)
    }
    order = Order(frozenset([ALL]), Action.INSTALL, "dpkg", update.update.packages)
    return View(
        update,
        Plan(order, peers, Settings("d"), 1, 0),
        0.25,
        Standing(frozenset(NAMES[:3]), frozenset(NAMES[:1])) if standing else None,
        Picture(update.update, stands) if stages else None,
        500,
        sent,
    )


class SummaryTests(SynchronousTestCase):
    """The results, as lines and as data."""

    def test_done(self) -> None:
        """All is well; the fields are those that were promised."""
        result = Result.of(a_view(*[Stage.DONE] * 4, sent={NAMES[0]: 700, NAMES[1]: 800}), 0)
        summary = Summary(20, "embedded", (result,))
        self.assertIs(summary.status, Status.DONE)
        self.assertEqual(
            json.loads(summary.json),
            {
                "v": 1,
                "ok": True,
                "peers": 20,
                "directory": "embedded",
                "updates": [
                    {
                        "seq": 1,
                        "package": result.package,
                        "groups": sorted(entry(1).update.groups),
                        "targets": 4,
                        "done": 4,
                        "failed": 0,
                        "pending": 0,
                        "seconds": 0.25,
                        "bytes": {"submitter": 500, "peers": 1500},
                    }
                ],
            },
        )
        self.assertIn("4 of 4 installed in 0.2 s", summary.lines[0])

    def test_failed(self) -> None:
        """A failure and a peer that is not ready are told, with the reason, and by the status."""
        result = Result.of(a_view(Stage.DONE, Stage.FAILED, Stage.PENDING), 2000)
        self.assertEqual((result.done, result.failed, result.pending), (1, 1, 2))
        # Nobody counted: what did not come from the submitter came from peers.
        self.assertEqual(result.peers, 1500)
        summary = Summary(20, "embedded", (result,))
        self.assertIs(summary.status, Status.FAILED)
        self.assertIn("1 failed, 2 pending", summary.lines[0])
        self.assertIn("  no room", summary.lines)

    def test_late(self) -> None:
        """What is still spreading is no failure, and nothing is known while the directory said nothing."""
        result = Result.of(a_view(), 0)
        self.assertEqual((result.done, result.failed, result.pending), (0, 0, 4))
        self.assertIs(Summary(20, "embedded", (result,)).status, Status.SPREADING)


class ShowTests(SynchronousTestCase):
    """What is seen meanwhile."""

    def test_lines(self) -> None:
        """Steps with their times, and now and then how far it is."""
        said, clock = StringIO(), Clock()
        lines = show_on(said, clock.seconds)
        self.assertIsInstance(lines, Lines)
        lines.step("begin")
        lines.spread(a_view(Stage.DONE))
        clock.advance(1.5)
        lines.spread(a_view(Stage.DONE))
        lines.spread(a_view(Stage.DONE, standing=False))
        clock.advance(1.5)
        lines.spread(a_view(standing=False))
        lines.ended(Result.of(a_view(Stage.DONE), 0))
        lines.close()
        self.assertEqual(
            said.getvalue().splitlines(),
            [
                "   0.0 s  begin",
                "   1.5 s  update 1: 3 hold it, 1 installed, of 4",
                "   3.0 s  update 1: 0 installed, of 4",
                "   3.0 s  update 1: 1 of 4 installed",
            ],
        )

    def drawn(self, view: View) -> str:
        console = Console(file=StringIO(), width=120)
        console.print(picture(view))
        out: Any = console.file
        return str(out.getvalue())

    def test_picture(self) -> None:
        """Each group has a bar, and the most generous are shown."""
        text = self.drawn(a_view(Stage.DONE, Stage.FAILED, sent=dict.fromkeys(NAMES, 1000)))
        self.assertIn("3 hold it,   1 installed, of 4", text)
        self.assertIn("1 failed", text)
        self.assertIn("2 hold it,   1 installed, of 2", text)
        self.assertIn("gave 500 B", text)
        self.assertEqual(text.count("gave 1000 B"), 4)

    def test_unknown_givers(self) -> None:
        """Where nobody counts, only the submitter's part is told."""
        self.assertIn("the submitter gave away 500 B", self.drawn(a_view()))

    def test_many_givers(self) -> None:
        """More than a few are told together."""
        sent = {PeerName(f"p{number}"): 100 for number in range(9)}
        self.assertIn("3 more", self.drawn(a_view(sent=sent)))

    def test_groups(self) -> None:
        """A group that all targets happen to be in is no news; the largest comes first."""
        self.assertEqual(list(groups_of(a_view())), [ALL, INTEL])

    def test_bar(self) -> None:
        """A bar is always as wide, whatever is in it."""
        for counts in ((0, 0, 0), (3, 1, 1), (3, 0, 3), (1, 3, 0)):
            self.assertEqual(len(bar(3, *counts)), WIDTH)

    def test_terminal(self) -> None:
        """On a terminal it is drawn anew in place, and stays when it is over."""

        class Terminal(StringIO):
            def isatty(self) -> bool:
                return True

        said = Terminal()
        live = show_on(said, Clock().seconds)
        self.assertIsInstance(live, Live)
        live.step("begin")
        live.spread(a_view(Stage.DONE))
        live.spread(a_view(Stage.DONE, Stage.DONE))
        live.ended(Result.of(a_view(Stage.DONE), 0))
        live.close()
        self.assertIn("begin", said.getvalue())
        self.assertIn("2 installed, of 4", said.getvalue())


class FigureTests(SynchronousTestCase):
    """What was measured, beside the paper."""

    def test_reached(self) -> None:
        """As good as the paper, and as good as is wanted, are two things."""
        figure = Figure("spread", "R82", "never over 10 s", 10.0, (0.05, 0.1, 0.9), (0.1, 0.5))
        self.assertTrue(figure.good)
        self.assertFalse(figure.reached)
        self.assertEqual(figure.fields["median"], 0.1)
        self.assertEqual(figure.fields["worst"], 0.9)
        lines = list(table([figure], goals=True))
        self.assertIn("MISSED", lines[1])
        self.assertNotIn("MISSED", "\n".join(table([figure])))

    def test_mean(self) -> None:
        """The paper tells a mean where it has one; without a goal none is missed."""
        figure = Figure("start", "R81", "mean 2.4 s", 7.0, (1.0, 3.0, 8.0), None, "mean")
        self.assertEqual(figure.fields["mean"], 4.0)
        self.assertFalse(figure.good)
        self.assertTrue(figure.reached)
        self.assertIn("-", list(table([figure], goals=True))[1])
