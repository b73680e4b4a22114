"""The parts of clumpt demo, as far as no process has to run."""

import os
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.defer import CancelledError
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.agent import Agent
from clumpt.apps.demonstration import leftovers, packages
from clumpt.apps.demonstration.background import REPORT, leave_running
from clumpt.apps.demonstration.bare import INSTALL, TICK, WATCHED, NoInstaller, Recorder, Timeline
from clumpt.apps.demonstration.cluster import Cluster
from clumpt.apps.demonstration.nursery import Nursery
from clumpt.errors import BadInput
from clumpt.install.packages import read_package
from clumpt.model import State
from tests.test_job import entry


class PackagesTests(SynchronousTestCase):
    """Packages are made on the spot."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def test_without_dpkg(self) -> None:
        """Where there is no dpkg, tar does."""
        self.patch(packages, "which", lambda program: program if "tar" in program else None)
        path = packages.make(self.folder, "hello", "1.0", b"data")
        with tarfile.open(path) as archive:
            self.assertEqual(sorted(archive.getnames()), ["opt/hello/README", "opt/hello/data"])
        self.assertEqual(read_package(path).installer, "tar")

    def test_with_nothing(self) -> None:
        """Where there is neither, that is said, and what to do."""
        self.patch(packages, "which", lambda program: None)
        error = self.assertRaises(BadInput, packages.make, self.folder, "hello", "1.0", b"data")
        self.assertIn("clumpt demo FILE", str(error))


class LeftoversTests(SynchronousTestCase):
    """What works in a folder is known by its words and its environment."""

    def test_running(self) -> None:
        """Helpers, peers, directories and package managers; nobody who only looks at it."""
        proc, folder = Path(self.mktemp()), Path("/tmp/clumpt-demo-x")
        job = f"{folder}/nodes/n1/state/spool/1-1.job"
        processes = {
            1: ([sys.executable, "-m", "clumpt.apps.install_helper", job], {}),
            2: (["/usr/sbin/slapd", "-F", f"{folder}/openldap/config"], {}),
            3: (["/usr/bin/dpkg"], {"CLUMPT_ROOT": f"{folder}/nodes/n1/root"}),
            4: (["/usr/bin/less", f"{folder}/nodes/n1/clumpt.ini"], {}),
            5: ([sys.executable, "-c", "clumpt", "-c", f"{folder}/admin/clumpt.ini"], {}),
            6: ([sys.executable, f"{folder}-other/nodes/x"], {"CLUMPT_ROOT": f"{folder}-other/nodes/x"}),
        }
        for pid, (words, environment) in processes.items():
            (proc / str(pid)).mkdir(parents=True)
            (proc / str(pid) / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in words))
            pairs = (f"{name}={value}\0".encode() for name, value in environment.items())
            (proc / str(pid) / "environ").write_bytes(b"PATH=/bin\0" + b"".join(pairs))
        (proc / "self").mkdir()
        (proc / "7").mkdir()
        self.assertEqual(sorted(leftovers.running(folder, proc)), [1, 2, 3])

    def test_ended(self) -> None:
        """All are killed, and their end is waited for."""
        left, killed, clock = [[1, 2], [2], []], [], Clock()
        self.patch(leftovers, "running", lambda folder: iter(left.pop(0)))
        self.patch(leftovers.os, "kill", lambda pid, number: killed.append(pid))
        ending = leftovers.end_runs(Path("/x"), clock)
        self.assertNoResult(ending)
        clock.pump([leftovers.LOOK] * 2)
        self.successResultOf(ending)
        self.assertEqual(killed, [1, 2, 2])


class RecorderTests(SynchronousTestCase):
    """It is noted when a peer holds what."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.notes: list[tuple[int, float]] = []
        self.recorder = Recorder(self.clock, self.clock.seconds, lambda *note: self.notes.append(note))

    def test_watch(self) -> None:
        """At first it is looked at closely, and then no more."""
        states = {1: State.KNOWN, 2: State.FETCHED}
        agenda = SimpleNamespace(concerning=lambda: {1: None, 2: None}, states=states)
        self.recorder.begin()
        self.recorder.watch(cast(Agent, SimpleNamespace(agenda=agenda)))
        states[1] = State.DONE
        self.clock.advance(TICK)
        self.assertEqual(self.notes, [(0, 0.0), (2, 0.0), (1, TICK)])
        self.clock.advance(WATCHED)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.recorder.stop()

    def test_stopped(self) -> None:
        """A peer that stops is not looked at."""
        agenda = SimpleNamespace(concerning=dict, states={})
        self.recorder.watch(cast(Agent, SimpleNamespace(agenda=agenda)))
        self.recorder.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_installer(self) -> None:
        """Everything is installed in a moment, and held since its beginning at the latest; noted once."""
        installer = NoInstaller(self.recorder, self.clock)
        for attempt in (1, 2):
            running = installer.run(entry(3), attempt, [])
            self.assertNoResult(running)
            self.clock.advance(INSTALL)
            self.assertIs(self.successResultOf(running).state, State.DONE)
        self.assertEqual((self.notes, installer.output(3)), ([(3, 0.0)], b""))

    def test_timeline(self) -> None:
        """What a process noted is read as far as it is written; what it noted in an earlier life is not."""
        folder = Path(self.mktemp())
        folder.mkdir()
        notes = folder / "timeline"
        notes.write_text("[9, 0.5]\n")
        timeline = Timeline.beside(folder / "clumpt.ini")
        self.assertEqual(timeline.look(), {})
        with notes.open("w", buffering=1) as file:
            file.write("[0, 1.5]\n[1, 2.5]\n[2, 3")
            self.assertEqual(timeline.look(), {0: 1.5, 1: 2.5})
            file.write(".5]\n[3")
            file.flush()
            self.assertEqual(timeline.look(), {0: 1.5, 1: 2.5, 2: 3.5})
        self.assertEqual(timeline.look(), {0: 1.5, 1: 2.5, 2: 3.5})


class Starter:
    """Starts nothing, and lets a test play the process."""

    def __init__(self) -> None:
        self.signals: list[str] = []
        self.pid = 1

    def spawnProcess(self, protocol: Any, executable: str, args: Any, **words: Any) -> None:
        self.protocol, self.args, self.words = protocol, args, words
        given = words["childFDs"]
        # Whoever started it closes its own.
        self.kept = [os.dup(number) for number in given.values() if isinstance(number, int) and number > 2]
        protocol.makeConnection(self)

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)


class BackgroundTests(SynchronousTestCase):
    """A process that is left running."""

    def setUp(self) -> None:
        self.reactor = Starter()
        self.status = leave_running(self.reactor, ["demo", "--keep"], {"HOME": "/"})
        self.addCleanup(lambda: [os.close(number) for number in self.reactor.kept])

    def end(self, error: Exception) -> None:
        self.reactor.protocol.processEnded(Failure(error))

    def test_ready(self) -> None:
        """It reports its status, and whoever started it is done."""
        self.assertEqual(self.reactor.args[-2:], ("demo", "--keep"))
        self.assertEqual(self.reactor.words["env"], {"HOME": "/", REPORT: "3"})
        self.reactor.protocol.childDataReceived(3, b"3")
        self.assertNoResult(self.status)
        self.reactor.protocol.childDataReceived(3, b"\n")
        self.assertEqual(self.successResultOf(self.status), 3)
        self.end(ProcessDone(0))

    def test_ended(self) -> None:
        """If it ends before, its own status counts."""
        self.end(ProcessTerminated(5))
        self.assertEqual(self.successResultOf(self.status), 5)

    def test_killed(self) -> None:
        """A signal counts as the shell has it."""
        self.end(ProcessTerminated(None, 9))
        self.assertEqual(self.successResultOf(self.status), 137)

    def test_interrupted(self) -> None:
        """Whoever is interrupted ends it, and waits until it has cleaned up."""
        self.status.cancel()
        self.assertEqual(self.reactor.signals, ["TERM"])
        self.assertNoResult(self.status)
        self.end(ProcessTerminated(143))
        self.failureResultOf(self.status, CancelledError)


class NurseryTests(SynchronousTestCase):
    """Helpers are asked for, and their ends are told."""

    def setUp(self) -> None:
        self.reactor: Any = Starter()
        self.nursery = Nursery(self.reactor, Path(self.mktemp()))
        self.nursery.open()
        self.addCleanup(lambda: [os.close(number) for number in self.reactor.kept])
        self.ends: list[type[BaseException]] = []

        class Child(ProcessProtocol):
            def processExited(child, reason: Failure) -> None:  # noqa: N805
                self.ends.append(type(reason.value))

        with open(os.devnull, "r+b") as null:
            for _ in range(2):
                self.nursery.spawnProcess(
                    Child(), "x", ("x", "/spool/1-1.job"), childFDs=dict.fromkeys(range(3), null.fileno())
                )

    def test_ended(self) -> None:
        """Each child has the end that it had."""
        self.reactor.protocol.outReceived(b"1 0\n2 2")
        self.assertEqual(self.ends, [ProcessDone])
        self.reactor.protocol.outReceived(b"56\n")
        self.assertEqual(self.ends, [ProcessDone, ProcessTerminated])

    def test_gone(self) -> None:
        """If the nursery dies, all its children count as killed; closing waits for its end."""
        closing = self.nursery.close()
        self.assertNoResult(closing)
        self.reactor.protocol.processEnded(Failure(ProcessTerminated(1)))
        self.successResultOf(closing)
        self.assertEqual(self.ends, [ProcessTerminated] * 2)


class ClusterTests(SynchronousTestCase):
    """What was begun is ended."""

    def test_close(self) -> None:
        """The last comes first, and what goes wrong keeps nothing else from being done."""
        cluster, done = Cluster(Clock(), "embedded", lambda text: None), []

        def wrong() -> None:
            raise BadInput("wrong")

        cluster.at_end(lambda: done.append(1))
        cluster.at_end(wrong)
        cluster.at_end(lambda: done.append(2))
        self.failureResultOf(cluster.close(), BadInput)
        self.assertEqual(done, [2, 1])
        self.successResultOf(cluster.close())
