"""The words of clumpt demo, and what runs where."""

import os
import shutil
import tempfile
from io import StringIO
from pathlib import Path
from random import Random

from twisted.internet.task import Clock
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from clumpt.apps import demo
from clumpt.apps.demo import DemoOptions, more_hints, running_hints, stop
from clumpt.apps.demonstration.deployment import ALL, AMD, INTEL, nodes
from clumpt.apps.demonstration.figures import Figure
from clumpt.apps.demonstration.loopback import LDAPS, NOTIFY, Net, free_net
from clumpt.apps.demonstration.place import Place, found, newest
from clumpt.apps.demonstration.summary import Summary
from clumpt.apps.oneshot import Status
from clumpt.apps.submit import Options
from clumpt.errors import BadInput, NothingMatched


class OptionsTests(SynchronousTestCase):
    """What can be said."""

    def parsed(self, *words: str) -> DemoOptions:
        options = DemoOptions()
        options.parseOptions(list(words))
        return options

    def refused(self, *words: str) -> str:
        """What is said about words that cannot be used."""
        options = DemoOptions()
        with self.assertRaises(UsageError) as caught:
            # The same without the end of the process.
            options._end = lambda text, status: (_ for _ in ()).throw(UsageError(text))  # type: ignore
            options.parseOptions(list(words))
        return str(caught.exception)

    def test_usual(self) -> None:
        """Twenty peers, in this process, with the embedded directory (R79)."""
        wishes = self.parsed().wishes
        self.assertEqual(
            (wishes.peers, wishes.files, wishes.directory, wishes.processes), (20, (), "embedded", False)
        )

    def test_any_order(self) -> None:
        """Files and options may stand in any order, and are kept for the process in the background."""
        file = self.mktemp()
        Path(file).touch()
        options = self.parsed(file, "--json", "-n", "4")
        self.assertEqual(options.wishes.files, (Path(file).absolute(),))
        self.assertEqual(options.words, [file, "--json", "-n", "4"])

    def test_stop(self) -> None:
        """After --stop come folders, which need not be files; packages have to be."""
        options = self.parsed("--stop", "/tmp/clumpt-demo-x")
        self.assertEqual(options.files, (Path("/tmp/clumpt-demo-x"),))

    def test_mistakes(self) -> None:
        """What cannot be meant is refused, with what can."""
        self.assertIn("embedded, slapd", self.refused("--directory", "oracle"))
        self.assertIn("from 2 to 200", self.refused("--peers", "1"))
        self.assertIn("from 12 to 200", self.refused("--peers", "4", "--scenario", "paper"))
        self.assertIn("paper, not x", self.refused("--scenario", "x"))
        self.assertIn("/missing is not a file", self.refused("/missing"))
        self.assertIn("its packages itself", self.refused("--scenario", "paper", __file__))

    def test_verb(self) -> None:
        """It is a verb of clumpt, which keeps its own log and takes its time to clean up."""
        options = Options()
        options.parseOptions(["demo", "--json"])
        self.assertEqual(options.subCommand, "demo")
        self.assertEqual((options.logger, options.grace), ("clumpt.apps.oneshot.mistakes_observer", 60.0))

    def test_hints(self) -> None:
        """What is told to be tried next names the configuration where there is one."""
        self.assertIn("clumpt demo --keep", "\n".join(more_hints()))
        told = "\n".join(running_hints(Path("/x/admin/clumpt.ini")))
        self.assertIn("clumptconf -c /x/admin/clumpt.ini list", told)
        self.assertIn("clumpt demo --stop", told)

    def test_results(self) -> None:
        """Data are lines for people, or one line for programs."""
        self.assertEqual(self.parsed()._summary(Summary(2, "embedded", ())), (Status.DONE, []))
        self.assertEqual(
            self.parsed("--json")._summary(Summary(2, "embedded", ())),
            (Status.DONE, ['{"v": 1, "ok": true, "peers": 2, "directory": "embedded", "updates": []}']),
        )
        slow = [Figure("spread", "R82", "never over 10 s", 10.0, (11.0,))]
        status, lines = self.parsed()._paper(slow)
        self.assertEqual(status, Status.FAILED)
        self.assertIn("spread (R82)", lines[1])
        status, [line] = self.parsed("--json")._paper(slow)
        self.assertIn('"ok": false', line)


class NodesTests(SynchronousTestCase):
    """Who is in which group."""

    def test_twenty(self) -> None:
        """Two groups of ten, and one of all (R79)."""
        twenty = nodes(20)
        self.assertEqual((twenty[0].name, twenty[-1].name), ("node01", "node20"))
        for group, size in ((INTEL, 10), (AMD, 10), (ALL, 20)):
            self.assertEqual(sum(group in node.groups for node in twenty), size)

    def test_odd(self) -> None:
        """Nobody is left out."""
        self.assertEqual([INTEL in node.groups for node in nodes(3)], [True, True, False])


class NetTests(SynchronousTestCase):
    """Each demonstration has addresses of its own."""

    def test_taken(self) -> None:
        """A part of the loopback where somebody listens is left to them."""
        asked: list[tuple[str, int]] = []

        def free(host: str, port: int) -> bool:
            asked.append((host, port))
            return len(asked) > 2

        net = free_net(Random(1), free)
        self.assertEqual(asked[-2:], [(net.directory, LDAPS), (net.peer(1), NOTIFY)])
        self.assertTrue(net.prefix.startswith("127."))
        self.assertEqual(len({net.directory, net.submitter, net.peer(200)}), 3)

    def test_full(self) -> None:
        """If there is none left, it is said how to get one."""
        error = self.assertRaises(BadInput, free_net, Random(1), lambda host, port: False)
        self.assertIn("clumpt demo --stop", str(error))


class PlaceTests(SynchronousTestCase):
    """Demonstrations are found by their folders."""

    def setUp(self) -> None:
        folder = self.mktemp()
        Path(folder).mkdir()
        self.patch(tempfile, "tempdir", folder)

    def test_found(self) -> None:
        """One that runs is found, with its process, and gone when it is removed."""
        self.assertEqual(list(found()), [])
        place = Place.make(Net("127.1.2"))
        [one] = found()
        self.assertEqual((one.folder, one.pid), (place.folder, os.getpid()))
        self.assertEqual(one.config, place.config)
        self.assertRaises(NothingMatched, newest)
        place.etc.mkdir()
        place.config.touch()
        self.assertEqual(newest(), one)
        place.remove()
        self.assertEqual(list(found()), [])

    def test_cut_off(self) -> None:
        """One whose process is gone is found, too, but not used; stop removes it."""
        place = Place.make(Net("127.1.2"))
        place.etc.mkdir()
        place.config.touch()
        place._lock.close()
        [one] = found()
        self.assertEqual(one.pid, 0)
        self.assertRaises(NothingMatched, newest)
        said = StringIO()
        self.assertEqual(self.successResultOf(stop(Clock(), said)), Status.DONE)
        self.assertEqual(said.getvalue(), f"clumpt: ended and removed {place.folder}\n")
        self.assertFalse(place.folder.exists())

    def pretend(self, prefix: str, kept: bool) -> Place:
        """A demonstration that seems to run, left running or in a terminal; killing it removes it."""
        place = Place.make(Net(prefix))
        self.addCleanup(place.remove)
        if kept:
            place.keep()
        return place

    def stopped(self, *folders: Path) -> str:
        """What is said while some, or all, are stopped."""
        running = [one.folder for one in found() if one.pid]
        order = [one for one in running if not folders or one.name in [path.name for path in folders]]
        kept = [one for one in order if folders or (one / "kept").exists()]

        def kill(pid: int, number: int) -> None:
            shutil.rmtree(kept.pop(0))

        self.patch(demo.os, "kill", kill)
        said = StringIO()
        self.assertEqual(self.successResultOf(stop(Clock(), said, folders)), Status.DONE)
        return said.getvalue()

    def test_kept_only(self) -> None:
        """What runs in a terminal is left alone, and it is said how to end it; all others are ended."""
        kept, other = self.pretend("127.1.2", True), self.pretend("127.1.3", True)
        terminal = self.pretend("127.1.4", False)
        said = self.stopped()
        self.assertIn(f"ended and removed {kept.folder}\n", said)
        self.assertIn(f"ended and removed {other.folder}\n", said)
        self.assertIn(f"{terminal.folder} runs in a terminal (process {os.getpid()}) and goes on", said)
        self.assertEqual([one.folder for one in found()], [terminal.folder])

    def test_only_terminal(self) -> None:
        """If all that run are in terminals, nothing is ended, and that is a failure that says why."""
        terminal, said = self.pretend("127.1.2", False), StringIO()
        error = self.failureResultOf(stop(Clock(), said), NothingMatched)
        self.assertIn("left running", str(error.value))
        self.assertIn(f"clumpt demo --stop {terminal.folder}", said.getvalue())
        self.assertTrue(terminal.folder.exists())

    def test_named(self) -> None:
        """Those that are named are ended, by folder or name, wherever they run, and no others."""
        kept, other = self.pretend("127.1.2", True), self.pretend("127.1.3", True)
        terminal = self.pretend("127.1.4", False)
        said = self.stopped(terminal.folder)
        self.assertEqual(said, f"clumpt: ended and removed {terminal.folder}\n")
        self.assertEqual(self.stopped(Path(other.folder.name).absolute()).count("removed"), 1)
        self.assertEqual([one.folder for one in found()], [kept.folder])

    def test_stranger(self) -> None:
        """Who names what is no demonstration is told which there are, and nothing is ended."""
        kept = self.pretend("127.1.2", True)
        stopping = stop(Clock(), StringIO(), [kept.folder, Path("/etc")])
        error = self.failureResultOf(stopping, NothingMatched).value
        self.assertEqual(str(error), f"etc is no demonstration of yours: {kept.folder.name}")
        self.assertTrue(kept.folder.exists())

    def test_nothing_to_stop(self) -> None:
        """If there is nothing, that is said."""
        self.failureResultOf(stop(Clock(), StringIO()), NothingMatched)

    def test_does_not_end(self) -> None:
        """A demonstration that does not end is told with its process, and its folder stays."""
        place = self.pretend("127.1.2", True)
        self.patch(demo.os, "kill", lambda pid, number: None)
        clock = Clock()
        stopping = stop(clock, StringIO())
        self.assertNoResult(stopping)
        clock.pump([1.0] * 25)
        self.assertIn(str(os.getpid()), str(self.failureResultOf(stopping, BadInput).value))
        self.assertTrue(place.folder.exists())

    def test_others(self) -> None:
        """What only looks like one is let alone."""
        (Path(tempfile.gettempdir()) / "clumpt-demo-link").symlink_to("/")
        (Path(tempfile.gettempdir()) / "clumpt-demo-empty").mkdir()
        self.assertEqual(list(found()), [])

    def test_locked_folder(self) -> None:
        """Folders that even their owner may not write to are removed as well."""
        place = Place.make(Net("127.1.2"))
        inner = place.folder / "nodes/x"
        inner.mkdir(parents=True)
        (inner / "file").touch()
        inner.chmod(0o500)
        place.remove()
        self.assertFalse(place.folder.exists())
