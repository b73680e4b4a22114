"""What running tools are called, and whose membership that is."""

from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis.strategies import text
from twisted.trial.unittest import SynchronousTestCase

from clumpt.agent.answers import Answers
from clumpt.model import GroupName, PeerName, bearer, is_name, run_of
from clumpt.pieces import digest_of

TOOL, NODE = PeerName("clumpt-submitter"), PeerName("n1.example.org")


class NamesTests(SynchronousTestCase):
    """L{run_of} and L{bearer}."""

    @given(text())
    def test_back(self, call: str) -> None:
        """Whatever a call is named, the run has a good name, which tells whose it is."""
        name = run_of(TOOL, call)
        self.assertTrue(is_name(name), name)
        self.assertEqual((bearer(name), bearer(TOOL)), (TOOL, TOOL))

    def test_same(self) -> None:
        """Calls that begin alike are of one run."""
        self.assertEqual(run_of(TOOL, "00c0ffee1"), run_of(TOOL, "00c0ffee2"))
        self.assertNotEqual(run_of(TOOL, "00c0ffee"), run_of(TOOL, "00c0ffef"))

    def test_node(self) -> None:
        """A node is what it is called."""
        self.assertEqual(bearer(NODE), NODE)


class MembershipTests(SynchronousTestCase):
    """Whose groups are known to L{Answers}."""

    def setUp(self) -> None:
        groups = {TOOL: frozenset[GroupName](), NODE: frozenset({GroupName("all")})}
        # Any: nothing else of these rooms is entered.
        nothing: Any = SimpleNamespace(unlinked=lambda peer: None)
        roster: Any = SimpleNamespace(admit=lambda peer, key, member: SimpleNamespace(groups=groups[peer]))
        self.answers = Answers("d", nothing, nothing, roster, nothing, nothing, nothing, nothing, nothing)

    def test_replaced(self) -> None:
        """A link that takes the place of another of the same peer loses nothing with that (R64)."""
        self.assertIsNone(self.answers.groups(NODE))
        self.answers.admit(NODE, digest_of(b""), b"")
        # The network tells of the end of the old one only now.
        self.answers.unlinked(cast(Any, SimpleNamespace(peer=NODE)))
        self.assertEqual(self.answers.groups(NODE), {"all"})

    def test_runs(self) -> None:
        """Every run of a tool has the membership of the tool."""
        self.answers.admit(TOOL, digest_of(b""), b"")
        self.assertEqual(self.answers.groups(run_of(TOOL, "1")), frozenset())
        self.assertIsNone(self.answers.groups(NODE))
