"""The pure parts of the race: settings, the limit of all contestants, tables and pictures."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from bench import swarm_sim
from bench.lab import document, goals, growth
from bench.lab.contest import Fault
from bench.lab.plot import svg
from bench.lab.report import tables
from bench.lab.setting import Setting


def run(contestant: str, seconds: float, **more: Any) -> dict[str, Any]:
    """The line of one run."""
    facts: dict[str, Any] = {
        "contestant": contestant,
        "setting": "5x10M@100",
        "fault": "",
        "peers": 5,
        "size": 10_000_000,
        "rate": 100.0,
        "ok": True,
        "all": seconds,
        "first": seconds / 2,
        "fluid": 0.8365,
        "ratio": seconds / 0.8365,
        "seed": 1.0,
        "excess": 0.02,
        "cpu_per_gb": 10.0,
        "memory_peak": 60.0,
        "busy": 0.5,
    }
    return {**facts, **more}


class SettingTests(SynchronousTestCase):
    """L{Setting}."""

    def test_written(self) -> None:
        """What is written is what it says, and is written back."""
        for text, setting in (
            ("20x20M@20", Setting(20, 20_000_000, 20)),
            ("5x20K@100", Setting(5, 20_000, 100)),
            ("3x1.5G@0", Setting(3, 1_500_000_000, 0)),
        ):
            self.assertEqual(Setting.parse(text), setting)
            self.assertEqual(str(setting), text)

    def test_refused(self) -> None:
        """Anything else is refused."""
        for text in ("", "20x20M", "0x20M@20", "x20M@20", "20x20T@20", "20x20M@20 "):
            self.assertRaises(ValueError, Setting.parse, text)

    def test_fluid(self) -> None:
        """The limit is one file over one link, packets' headers taken off."""
        fluid = Setting.parse("20x20M@20").fluid
        assert fluid is not None
        self.assertAlmostEqual(fluid, 20e6 * 8 / 20e6 * 1514 / 1448)
        self.assertIsNone(Setting.parse("20x20M@0").fluid)


class FaultTests(SynchronousTestCase):
    """L{Fault}."""

    def test_quarter(self) -> None:
        """A quarter of the peers fail, one is slow, or nobody is hit."""
        self.assertEqual(Fault.plan("dead", 20).peers, {4, 8, 12, 16, 20})
        self.assertEqual(len(Fault.plan("slow", 20).peers), 1)
        self.assertEqual(Fault.plan("", 20).peers, frozenset())


class ReportTests(SynchronousTestCase):
    """What is shown of the results."""

    results = (run("clumpt", 1.0), run("http", 4.2), run("clumpt", 3.0), run("clumpt", 1.2))

    def test_medians(self) -> None:
        """The median of the runs that ended well stands in the table, with the least and the most."""
        text = tables([*self.results, run("clumpt", 9.0, ok=False, all=None)])
        self.assertIn("| clumpt | 3/4 | 1.200 (1.000-3.000) | 1.43 |", text)
        self.assertIn("| http | 1/1 | 4.200 (4.200-4.200) | 5.02 |", text)

    def test_failed(self) -> None:
        """Who never got there has no numbers."""
        self.assertIn("| http | 0/1 | - |", tables([run("http", 0, ok=False, all=None)]))

    def test_picture(self) -> None:
        """The plot is well-formed, and has each contestant and the limit in its legend."""
        larger = run("clumpt", 9.9, setting="5x100M@100", size=100_000_000, fluid=8.365)
        root = ElementTree.fromstring(svg([*self.results, larger]))
        texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
        for name in ("clumpt", "http", "fluid limit", "5 peers, 100 Mbit/s"):
            self.assertIn(name, texts)


class GoalTests(SynchronousTestCase):
    """What is to be reached, against what was."""

    def test_reached(self) -> None:
        """The median counts; the same contestant without faults is what faults are compared with."""
        fair = {"setting": "20x20M@20", "peers": 20, "size": 20_000_000, "fluid": 8.365}
        results = [run("clumpt", 9.0, **fair, ratio=1.076), run("clumpt", 18.0, **fair, fault="killed")]
        text = goals.table(results)
        self.assertIn("| 1.1 | 1.08 | reached |", text)
        self.assertIn("| 1.3 | 2 | missed |", text)

    def test_not_measured(self) -> None:
        """What nobody measured is neither reached nor missed."""
        self.assertNotIn("CPU", goals.table([run("clumpt", 1.0)]))


class DocumentTests(SynchronousTestCase):
    """What is measured stands in the document."""

    def test_spliced(self) -> None:
        """Only what stands between the marks changes."""
        text = f"before\n{document.BEGIN}\nold\n{document.END}\nafter\n"
        self.assertEqual(
            document.spliced(text, "new"), f"before\n{document.BEGIN}\n\nnew\n\n{document.END}\nafter\n"
        )
        self.assertRaises(ValueError, document.spliced, "no marks", "new")

    def test_measured(self) -> None:
        """Machine and dates are told, and how busy it was with other things."""
        known = {"machine": "2 cores", "elsewhere": 0.25, "urgent": False}
        results = [
            run("clumpt", 1.0, at="2026-01-02T00:00:00+0000", **known),
            run("http", 4.2, at="2026-01-03T00:00:00+0000", **known),
        ]
        part = document.measured(results)
        self.assertIn("Measured 2026-01-02 to 2026-01-03 on 2 cores. Other work took 25%", part)
        self.assertIn("(race.svg)", part)


class GrowthTests(SynchronousTestCase):
    """Simulations of many peers."""

    def setUp(self) -> None:
        usual = {"size": 20_000_000, "pieces": 611, "fluid": 8.0, "median": 1.0, "submitted": 1.02}
        usual |= {"messages": 4000.0, "wire": 1.03, "duplicates": 0.001}
        self.results = [{**usual, "peers": 100, "ratio": ratio} for ratio in (1.05, 1.3, 1.06)]
        self.results.append({**usual, "peers": 1000, "ratio": 1.2})

    def test_table(self) -> None:
        """The median counts, the least and the most are told."""
        text = growth.table(self.results)
        self.assertIn("| 100 | 20 MB | 611 | 3 | 8.48 | 1.060 (1.050-1.300) | 1.08 reached |", text)
        self.assertIn("| 1,000 | 20 MB | 611 | 1 | 9.60 | 1.200 (1.200-1.200) | 1.10 missed |", text)

    def test_picture(self) -> None:
        """The plot is well-formed, and tells what each line is."""
        root = ElementTree.fromstring(growth.svg(self.results))
        texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
        for name in ("clumpt, 20 MB, 611 pieces", "goal", "fluid limit", "1,000"):
            self.assertIn(name, texts)

    def test_document(self) -> None:
        """What the race wrote into the same document stays."""
        path = Path(self.mktemp())
        path.write_text(f"{document.BEGIN}\nraced\n{document.END}\n{growth.BEGIN}\nold\n{growth.END}\n")
        growth.write(path, self.results, "2026-01-02")
        text = path.read_text()
        self.assertIn("raced", text)
        self.assertNotIn("old", text)
        self.assertIn("Simulated 2026-01-02.", text)
        self.assertTrue(path.with_name(growth.PICTURE).exists())


class SwarmTests(SynchronousTestCase):
    """The simulation of many peers, which has the code that decides."""

    def test_few(self) -> None:
        """Everybody gets everything, in about the time it must take, and the submitter sends one copy."""
        facts = swarm_sim.run(swarm_sim.Case(6, 1_000_000, 20.0))
        self.assertTrue(1.0 < facts["first"] <= facts["ratio"] < 2.0, facts)
        self.assertTrue(1.0 <= facts["submitted"] < 1.5, facts)
        self.assertLess(facts["duplicates"], 0.02)
