"""How the end of a run is read."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt.install.command import Command, Rules, command_for
from clumpt.install.managers import MANAGERS, Verdict, short_reason
from clumpt.install.process import Ended, Tail
from clumpt.install.verdict import Lines, judge
from clumpt.model import Action, Outcome, State
from tests.installing import an_update

_DPKG_LOCK = (
    "dpkg: error: dpkg frontend lock was locked by another process with pid 7205\n"
    "Note: removing the lock file is always wrong, can damage the locked area\n"
    "and the entire system.\n"
)
_APT_LOCK = (
    "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7289 (python3)\n"
    "E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend)\n"
)
_RPM_LOCK = (
    "error: can't create transaction lock on /var/lib/rpm/.rpm.lock (Resource temporarily unavailable)\n"
)
_SCRIPT = "Setting up hello (1.0) ...\n" + _APT_LOCK

#: Installer, exit status, what was printed, what it means.
TABLE = (
    ("dpkg", 0, "", Verdict.DONE),
    ("dpkg", 1, "dpkg: error processing package hello (--install):\n", Verdict.FAILED),
    ("dpkg", 2, _DPKG_LOCK, Verdict.LOCKED),
    ("dpkg", 2, "dpkg: error: need an action option\n", Verdict.FAILED),
    ("dpkg", 1, _SCRIPT, Verdict.FAILED),
    ("apt", 100, _APT_LOCK, Verdict.LOCKED),
    ("apt", 100, _SCRIPT, Verdict.FAILED),
    ("apt", 100, "E: Unable to correct problems, you have held broken packages.\n", Verdict.FAILED),
    ("rpm", 1, _RPM_LOCK, Verdict.LOCKED),
    ("rpm", 1, "error: Failed dependencies:\n", Verdict.FAILED),
    ("dnf", 200, "metadata already locked by 16827\n", Verdict.LOCKED),
    ("dnf", 1, "Error: Unable to find a match\n", Verdict.FAILED),
    ("zypper", 7, "System management is locked by the application with pid 16598 (sleep).\n", Verdict.LOCKED),
    ("zypper", 102, "", Verdict.DONE),
    ("zypper", 107, "", Verdict.FAILED),
    ("pip", 1, "ERROR: Could not find a version\n", Verdict.FAILED),
    ("tar", 2, "tar: Error is not recoverable: exiting now\n", Verdict.FAILED),
    ("tar", 0, "", Verdict.DONE),
)


def made(installer: str) -> Command:
    update = an_update(installer)
    if installer == "command":
        update = an_update(installer, Action.RUN, argv=("/bin/false",))
    command = command_for(update, Rules(frozenset({installer})), ("/p",))
    assert isinstance(command, Command)
    return command


class ClassifyTests(SynchronousTestCase):
    """Exit status and output, made one word."""

    def test_table(self) -> None:
        """Somebody else's lock is not a failure; a script that complains of one is."""
        for installer, code, output, verdict in TABLE:
            self.assertIs(MANAGERS[installer].classify(code, output), verdict, (installer, code, output))

    @given(st.sampled_from(sorted(MANAGERS)), st.integers(-64, 255), st.text(max_size=200))
    def test_done(self, installer: str, code: int, output: str) -> None:
        """Nothing that is printed turns a failure into a success (promise 3)."""
        manager = MANAGERS[installer]
        self.assertEqual(manager.classify(code, output) is Verdict.DONE, code in manager.fine)


class JudgeTests(SynchronousTestCase):
    """What an operator is told."""

    def test_failed(self) -> None:
        """The reason names program, exit status and the line that tells most."""
        output = "Unpacking hello\ndpkg: error processing package hello (--install):\nErrors:\n hello\n"
        outcome, again = judge(made("dpkg"), Ended(1, False, 2.0), output, 2.5)
        self.assertEqual(
            outcome,
            Outcome(
                State.FAILED, 1, "dpkg ended with 1: dpkg: error processing package hello (--install):", 2.5
            ),
        )
        self.assertFalse(again)

    def test_locked(self) -> None:
        """A lock means that it may be tried again, and that nothing was run."""
        outcome, again = judge(made("dpkg"), Ended(2, False, 0.1), _DPKG_LOCK, 0.1)
        self.assertTrue(again)
        self.assertEqual((outcome.state, outcome.code), (State.HELD, None))
        self.assertTrue(outcome.reason.startswith("locked: dpkg: error: dpkg frontend lock"))

    def test_signal(self) -> None:
        """A program that was killed did not succeed, whatever its status."""
        outcome, _ = judge(made("command"), Ended(-9, False, 1.0), "", 1.0)
        self.assertEqual(outcome, Outcome(State.FAILED, -9, "false was killed by signal 9", 1.0))

    def test_late(self) -> None:
        """Out of time is a failure even if the program made a success of it in its last moment."""
        outcome, _ = judge(made("dpkg"), Ended(0, True, 9.0), "", 9.0)
        self.assertEqual(outcome, Outcome(State.FAILED, 0, "dpkg timed out after 3600 s", 9.0))

    def test_command(self) -> None:
        """A command succeeds with 0."""
        self.assertIs(judge(made("command"), Ended(0, False, 1.0), "", 1.0)[0].state, State.DONE)
        self.assertIs(judge(made("command"), Ended(1, False, 1.0), "", 1.0)[0].state, State.FAILED)

    @given(st.text(max_size=2000))
    def test_short(self, output: str) -> None:
        """What a package prints never breaks a line of the log."""
        reason = short_reason(output)
        self.assertTrue(reason.isprintable())
        self.assertLessEqual(len(reason), 200)


class LinesTests(SynchronousTestCase):
    """The names in an archive are looked at before it is unpacked."""

    def look(self, *chunks: bytes) -> bytes:
        refuses = MANAGERS["tar"].refuses
        assert refuses is not None
        lines = Lines(refuses.fullmatch)
        for chunk in chunks:
            lines.add(chunk)
        return lines.found

    def test_harmless(self) -> None:
        """Relative names within are fine, and so are dots in names."""
        self.assertEqual(self.look(b"./\n./opt/\nopt/a..b\n...\n..c/d\n"), b"")

    def test_refused(self) -> None:
        """Absolute names, and names that lead out, are not."""
        for name in (b"/etc/passwd", b"../x", b"a/../../x", b"..", b"a/..", b"/"):
            self.assertEqual(self.look(b"opt/a\n" + name + b"\nopt/b\n"), name)

    @given(st.integers(0, 20))
    def test_any_cut(self, at: int) -> None:
        """However the listing is cut, the same name is found."""
        listing = b"opt/a\n../x\nopt/b\n"
        self.assertEqual(self.look(listing[:at], listing[at:]), b"../x")

    def test_endless(self) -> None:
        """A name without end is refused, and does not fill the memory."""
        self.assertTrue(self.look(*[b"x" * 4096] * 100))


class TailTests(SynchronousTestCase):
    """A flood of output."""

    @given(st.lists(st.binary(max_size=30)), st.integers(1, 20))
    def test_tail(self, chunks: list[bytes], limit: int) -> None:
        """The last bytes are kept, no more."""
        tail = Tail.of(limit)
        for chunk in chunks:
            tail.add(chunk)
        self.assertEqual(bytes(tail), b"".join(chunks)[-limit:])


class ProgramTests(SynchronousTestCase):
    """The usual places of the programs."""

    def test_absolute(self) -> None:
        """Every program is absolute: nothing is looked for in a PATH."""
        for manager in MANAGERS.values():
            self.assertTrue(Path(manager.program[0]).is_absolute())
