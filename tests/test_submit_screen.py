"""What the submit tool shows, and who it is (R57, R62)."""

import os
import sys
import time
from io import StringIO
from pathlib import Path

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from clumpt.apps.bars import Bars
from clumpt.apps.conf_init import NewDeployment, create
from clumpt.apps.connect import SUBMITTER_FILES, as_tool
from clumpt.apps.desk import PASSPHRASE, check_identity, real_desk, submit_key
from clumpt.apps.display import Lines, display, groups_of, headline
from clumpt.apps.screen import Screen, columns, printable, size, when
from clumpt.apps.submit import Options
from clumpt.config import Config
from clumpt.configfile import load
from clumpt.errors import BadInput, ConfigurationError, IdentityError
from clumpt.model import GroupName, Peer, PeerName
from clumpt.progress import Picture, Progress, Stage
from clumpt.testing.keys import Deployment
from clumpt.trust.pki import SUBMITTER
from clumpt.trust.signer import Signer

MADE = 1.8e9


class Terminal(StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def picture(done: int, failed: int = 0, pending: int = 0) -> Picture:
    stands = [Progress(Stage.DONE)] * done + [Progress(Stage.FAILED)] * failed
    stands += [Progress(Stage.PENDING, "x")] * pending
    peers = {PeerName(f"n{number}"): one for number, one in enumerate(stands)}
    return Picture(Deployment().update(groups=frozenset([GroupName("all")])), peers)


class TextTests(SynchronousTestCase):
    """Words and numbers for people."""

    @given(st.text())
    def test_printable(self, text: str) -> None:
        """Nothing that a terminal obeys passes, and lines stay lines."""
        shown = printable(text)
        self.assertTrue(all(letter.isprintable() or letter == "\n" for letter in shown))
        self.assertEqual(len(shown), len(text))
        self.assertEqual(shown.count("\n"), text.count("\n"))

    def test_columns(self) -> None:
        """Cells of a column begin at one place, and no line ends with blanks."""
        lines = columns(("A", "LONG", "B"), [("aaaa", 1, ""), ("a", 22222, "b")])
        self.assertEqual(lines, ["A     LONG   B", "aaaa  1", "a     22222  b"])

    def test_sizes(self) -> None:
        """Bytes in the unit that fits."""
        self.assertEqual(
            [size(count) for count in (0, 1023, 1024, 5 * 1024**2, 7 * 1024**4)],
            ["0 B", "1023 B", "1.0 KiB", "5.0 MiB", "7168.0 GiB"],
        )

    def test_when(self) -> None:
        """A time, or nothing."""
        self.assertRegex(when(MADE), r"^2027-01-1\d \d\d:\d\d:00$")
        self.assertEqual(when(0), "-")

    def test_headline(self) -> None:
        """An update in one line, and who withdrew it."""
        update = picture(0).update
        self.assertRegex(headline(update), r"^update 1: install for all, submitted [-0-9]+ [:0-9]+$")
        self.assertTrue(headline(update, 7).endswith(", withdrawn by update 7"))


class LinesTests(SynchronousTestCase):
    """At most one line a second."""

    def setUp(self) -> None:
        self.clock, self.stderr = Clock(), StringIO()
        self.lines = Lines(Screen(StringIO(), self.stderr), self.clock.seconds)

    def said(self) -> list[str]:
        return self.stderr.getvalue().splitlines()

    def test_paced(self) -> None:
        """What comes sooner is said later, if it is still so then; the last is always said."""
        for done in range(10):
            self.lines.show(picture(done, pending=9 - done))
            self.clock.advance(0.25)
        self.lines.close()
        self.assertEqual(
            self.said(),
            [
                "clumpt: update 1: 0 done, 9 pending, of 9",
                "clumpt: update 1: 4 done, 5 pending, of 9",
                "clumpt: update 1: 8 done, 1 pending, of 9",
                "clumpt: update 1: 9 done, of 9",
            ],
        )

    def test_once(self) -> None:
        """What has not changed is not said again."""
        for _ in range(5):
            self.lines.show(picture(1, 1))
            self.clock.advance(5)
        self.lines.close()
        self.assertEqual(self.said(), ["clumpt: update 1: 1 done, 1 failed, of 2"])


class BarsTests(SynchronousTestCase):
    """A bar for each group, on terminals only."""

    def setUp(self) -> None:
        peers = tuple(
            Peer(PeerName(f"n{number}"), (), frozenset([GroupName("all")]), b"") for number in range(3)
        )
        self.groups = groups_of(peers, picture(0).update)

    def test_bars(self) -> None:
        """How many are done, how many there are, and what became of the others."""
        stderr = Terminal()
        bars = Bars(stderr, self.groups)
        bars.show(picture(0, pending=3))
        bars.show(picture(1, 1, 1))
        bars.close()
        self.assertIn("1/3", stderr.getvalue())
        self.assertIn("1 failed, 1 pending", stderr.getvalue())
        self.assertTrue(stderr.getvalue().endswith("\x1b[?25h"), "the cursor is shown again")

    def test_nothing_shown(self) -> None:
        """If there was nothing to show, nothing is written."""
        stderr = Terminal()
        Bars(stderr, self.groups).close()
        self.assertEqual(stderr.getvalue(), "")

    def test_choice(self) -> None:
        """Bars on a terminal; lines elsewhere, and without the library for bars."""
        on_terminal = Screen(StringIO(), Terminal())
        self.assertIsInstance(display(on_terminal, self.groups, Clock().seconds), Bars)
        self.assertIsInstance(display(Screen(StringIO(), StringIO()), self.groups, Clock().seconds), Lines)
        self.addCleanup(sys.modules.__setitem__, "clumpt.apps.bars", sys.modules["clumpt.apps.bars"])
        sys.modules["clumpt.apps.bars"] = None
        self.assertIsInstance(display(on_terminal, self.groups, Clock().seconds), Lines)


class IdentityTests(SynchronousTestCase):
    """A submitter's certificate and key, before anything is begun with them."""

    def setUp(self) -> None:
        self.out = Path(self.mktemp()).absolute()
        create(self.out, NewDeployment("site-1", ("ldaps://localhost",)), MADE)
        self.config = as_tool(load(self.out / "clumpt.ini"), SUBMITTER_FILES)

    def refused(self, kind: type[Exception], text: str, config: Config, now: float = MADE) -> None:
        self.assertIn(text, str(self.assertRaises(kind, check_identity, config, now)))

    def with_tls(self, **files: Path) -> Config:
        return evolve(self.config, tls=evolve(self.config.tls, **files))

    def test_good(self) -> None:
        """What clumptconf made is good, and names the submitter."""
        check_identity(self.config, MADE)
        desk = real_desk(load(self.out / "clumpt.ini"), MemoryReactorClock(), StringIO(), StringIO())
        self.assertEqual(desk.name, SUBMITTER)
        self.assertEqual(len(desk.signer().keyid), 64)
        listening, calling = desk.network(True), desk.network(False)
        self.assertEqual([listening.ports, calling.ports], [(0, 0), None])

    def test_expired(self) -> None:
        """An expired certificate is named."""
        self.refused(IdentityError, "submitter.pem has expired", self.config, MADE + 11 * 365 * 86400)

    def test_ends_soon(self) -> None:
        """One that ends soon is told with the command that makes a new one, and used."""
        self.patch(time, "time", lambda: MADE + 3640 * 86400)
        said = StringIO()
        desk = real_desk(load(self.out / "clumpt.ini"), MemoryReactorClock(), StringIO(), said)
        self.assertEqual(desk.name, SUBMITTER)
        self.assertIn("its certificate ends on 2037-01-12 08:00 UTC; clumptconf renew", said.getvalue())

    def test_of_another(self) -> None:
        """So is one of another authority."""
        other = Path(self.mktemp()).absolute()
        create(other, NewDeployment("site-2", ("ldaps://localhost",)), MADE)
        ca = other / "clumpt/tls/ca.pem"
        self.refused(IdentityError, "is not of the authority in", self.with_tls(ca=ca))

    def test_missing(self) -> None:
        """A file that is not there, or is something else, is named."""
        self.refused(BadInput, "nothing.pem: No such file", self.with_tls(certificate=Path("nothing.pem")))
        other = self.out / "clumpt.ini"
        self.refused(ConfigurationError, "is no certificate", self.with_tls(certificate=other))

    def test_passphrase(self) -> None:
        """The passphrase of the submit key is taken from the environment."""
        path = Path(self.mktemp())
        Signer.generate().save(path, b"secret")
        self.assertRaises(BadInput, submit_key, path)
        self.patch(os, "environ", {PASSPHRASE: "secret"})
        self.assertEqual(len(submit_key(path).keyid), 64)


class ManualTests(SynchronousTestCase):
    """The manual page."""

    def test_verbs(self) -> None:
        """Every verb and every option is in clumpt(1)."""
        page = (Path(__file__).resolve().parents[1] / "docs/man/clumpt.1.rst").read_text()
        for verb, _, options, _ in Options.subCommands:
            self.assertIn(f"**{verb}**", page)
            if verb == "demo":
                continue
            for name in options().docs:
                if name not in ("help", "version", "g"):
                    self.assertTrue(f"--{name}" in page or f"**-{name[0]}**" in page, f"{verb} --{name}")
