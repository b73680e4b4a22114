"""The numbers at the end of C{make test} are those of the tests."""

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests import runner
from tests.runner import Counts, count, modules


class CountTests(SynchronousTestCase):
    """L{count} reads what trial says at its end."""

    def test_passed(self) -> None:
        """All is well."""
        self.assertEqual(
            count("x ...\nRan 5 tests in 0.1s\n\nPASSED (skips=2, successes=3)\n", 0), Counts(3, 0, 2)
        )

    def test_failed(self) -> None:
        """Failures, errors and what passed against its promise have failed; a known gap is no success."""
        text = (
            "FAILED (skips=1, failures=2, errors=3, expectedFailures=4, unexpectedSuccesses=5, successes=6)"
        )
        self.assertEqual(count(text, 1), Counts(6, 10, 5))

    def test_words_of_tests(self) -> None:
        """What tests print does not count; the last summary does."""
        self.assertEqual(count("PASSED (successes=99)\nFAILED (failures=1)\n", 1), Counts(0, 1, 0))
        self.assertEqual(count("it PASSED (successes=99)\n", 0), Counts(0, 1, 0))

    def test_broken_off(self) -> None:
        """A run that never got to its end has failed, and so has one whose status is worse than its words."""
        self.assertEqual(count("", 0).failed, 1)
        self.assertEqual(count("x ...", -9).failed, 1)
        self.assertEqual(count("PASSED (successes=3)", 1), Counts(3, 1, 0))

    def test_none(self) -> None:
        """No test is no number."""
        self.assertEqual(count("Ran 0 tests in 0.000s\n\nPASSED\n", 0), Counts())

    @given(st.text(), st.integers(0, 2))
    def test_any_text(self, text: str, status: int) -> None:
        """Whatever is printed, a bad status is never a success."""
        self.assertEqual(bool(status), bool(count(text + "\nPASSED (successes=1)\n", status).failed))


class MainTests(SynchronousTestCase):
    """The last line and the exit status."""

    def main(self, *results: tuple[int, str]) -> tuple[int, str]:
        given = iter(results)
        self.patch(runner, "run", lambda words: next(given))
        self.patch(runner, "modules", lambda tests: (["tests.test_a"], ["tests.live.test_b"]))
        with redirect_stdout(StringIO()) as printed:
            status = runner.main([])
        self.assertEqual(list(given), [])
        return status, printed.getvalue().splitlines()[-1]

    def test_sum(self) -> None:
        """The numbers of both runs are added."""
        clean = [(0, "")] * 3
        both = (0, "PASSED (successes=2, skips=1)"), (0, "PASSED (successes=3)")
        self.assertEqual(self.main(*clean, *both), (0, "5 passed, 0 failed, 1 skipped"))

    def test_failed(self) -> None:
        """A failed test and a check that is not clean both show in the status; the numbers stay true."""
        clean = [(0, "")] * 3
        passed, failed = (0, "PASSED (successes=2)"), (1, "FAILED (failures=1)")
        self.assertEqual(self.main(*clean, passed, failed), (1, "2 passed, 1 failed, 0 skipped"))
        self.assertEqual(
            self.main((1, "E501"), (0, ""), (0, ""), passed, passed), (1, "4 passed, 0 failed, 0 skipped")
        )

    def test_nothing_ran(self) -> None:
        """If no test passed, that is no success."""
        nothing = [(0, "")] * 3 + [(0, "PASSED (skips=4)")] * 2
        self.assertEqual(self.main(*nothing), (1, "0 passed, 0 failed, 8 skipped"))


class ModulesTests(SynchronousTestCase):
    """What is run."""

    def test_modules(self) -> None:
        """Every test module is found, wherever it lies; live ones are apart."""
        tests = Path(self.mktemp()) / "tests"
        for name in ("test_a.py", "sim/test_b.py", "live/test_c.py", "tool.py"):
            (tests / name).parent.mkdir(parents=True, exist_ok=True)
            (tests / name).touch()
        self.assertEqual(modules(tests), (["tests.sim.test_b", "tests.test_a"], ["tests.live.test_c"]))
