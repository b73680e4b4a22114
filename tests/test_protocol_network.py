"""The network: dialling, keeping, meeting, and letting go."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from clumpt.errors import BadInput, PeerUnreachable
from clumpt.interfaces import INetwork
from clumpt.model import Address, PeerName, bearer, is_name
from clumpt.protocols.client import Network
from clumpt.protocols.keeping import pause
from clumpt.protocols.limits import Limits
from clumpt.protocols.meeting import Verdict, judge
from clumpt.protocols.messages import Hello, Ping
from clumpt.protocols.notify import NotifyProtocol
from clumpt.protocols.update import UpdateProtocol
from tests.protocol_kit import DEPLOYMENT, TOP, Town, address_of, host_of, wired


class NetworkCase(SynchronousTestCase):
    """Some peers."""

    limits = Limits()

    def begin(self, names: str = "ab") -> Town:
        self.town = Town(names, self.limits)
        self.addCleanup(self.end)
        return self.town

    def end(self) -> None:
        """Stop everything; nothing may be left."""
        stopped = [network.stop() for network in self.town.networks.values()]
        self.town.run(self.limits.closing + 1)
        for one in stopped:
            self.successResultOf(one)
        self.assertEqual(self.town.net.open_wires(), [])
        self.assertEqual(self.town.clock.getDelayedCalls(), [])
        self.assertEqual(self.town.net.listening, {})
        self.assertEqual([agent.links for agent in self.town.agents.values() if agent.links], [])

    def assertLinked(self, *pairs: str) -> None:
        """Exactly these are linked, and both ends know it."""
        self.assertEqual(self.linked(), {frozenset(pair) for pair in pairs})

    def linked(self) -> set[frozenset[str]]:
        both = [(name, peer) for name, net in self.town.networks.items() for peer in net.links()]
        self.assertEqual({frozenset(pair) for pair in both if pair[::-1] not in both}, set())
        return {frozenset(pair) for pair in both}


class ToolsTests(NetworkCase):
    """Tools that run at the same time with one certificate (H5)."""

    def setUp(self) -> None:
        self.begin("aXY")
        for letter in "XY":
            self.town.shown[letter] = self.town.agents[letter].name = "clumpt-submitter"
            self.town.networks[letter].name = PeerName("clumpt-submitter")

    def test_side_by_side(self) -> None:
        """Neither ends the links of the other, and each run has a name of its own."""
        dialled = [self.town.dial(letter, "a") for letter in "XY"]
        self.town.run()
        links = [self.successResultOf(one) for one in dialled]
        self.town.run(5)
        self.assertTrue(all(link.open for link in links))
        names = list(self.town.networks["a"].links())
        self.assertEqual(len(names), 2)
        self.assertEqual({bearer(name) for name in names}, {"clumpt-submitter"})
        self.assertTrue(all(is_name(name) for name in names))

    def test_again(self) -> None:
        """One that has lost its link takes the place of what is left of it, not of another's."""
        dialled = [self.town.dial(letter, "a") for letter in "XY"]
        self.town.run()
        for one in dialled:
            self.successResultOf(one)
        # The peer does not notice that the lines are gone, as if a cable were pulled.
        lost = self.town.networks["X"]
        for wire in self.town.net.wires:
            wire.cut = wire.cut or host_of("X") in (wire.getHost().host, wire.getPeer().host)
        lost._links[PeerName("a")].end("lost")
        self.town.run(0.1)
        again = self.town.dial("X", "a")
        self.town.run()
        self.successResultOf(again)
        self.assertEqual(len(self.town.networks["a"].links()), 2)
        self.assertEqual(self.town.agents["a"].names(), ["linked", "linked", "unlinked", "linked"])


class DialTests(NetworkCase):
    """L{INetwork.dial}."""

    def test_interface(self) -> None:
        """A network is an L{INetwork}."""
        verifyObject(INetwork, self.begin().networks["a"])

    def test_dial(self) -> None:
        """A dialled peer is linked; dialling it again gives the same link, from either end."""
        self.begin()
        first, second = self.town.dial("a", "b"), self.town.dial("a", "b")
        self.town.run()
        link = self.successResultOf(first)
        self.assertIs(self.successResultOf(second), link)
        self.assertIs(self.successResultOf(self.town.dial("a", "b")), link)
        self.assertIs(self.successResultOf(self.town.dial("b", "a")), self.town.agents["b"].links["a"])
        self.assertLinked("ab")

    def test_linked_before_anybody_waits(self) -> None:
        """The agent knows of a link before who dialled does."""
        self.begin()
        known = []
        self.town.dial("a", "b").addCallback(
            lambda link: known.append(link.peer in self.town.agents["a"].links)
        )
        self.town.run()
        self.assertEqual(known, [True])

    def test_second_address(self) -> None:
        """Addresses are tried in order; a dead one costs the connect time-out."""
        self.begin()
        self.town.net.dead.add("10.9.9.9")
        self.town.networks["a"].dial(PeerName("b"), [Address("10.9.9.9", 1, 2), address_of("b")])
        self.town.run(self.limits.connect + 0.5)
        self.assertLinked("ab")

    def test_unreachable(self) -> None:
        """A dead host, a closed port, and no address at all each fail, saying where it was tried."""
        self.begin()
        self.town.net.dead.add("10.9.9.9")
        for addresses, why in (
            ([Address("10.9.9.9", 1, 2)], "10.9.9.9:1:2"),
            ([Address(host_of("b"), 5, 6)], "refused"),
            ([Address(host_of("b"), 1, 6)], "refused"),
            ([], "none is known"),
        ):
            dialled = self.town.networks["a"].dial(PeerName("b"), addresses)
            self.town.run(self.limits.connect + 0.5)
            self.assertIn(why, str(self.failureResultOf(dialled, PeerUnreachable).value))
        self.assertLinked()
        self.assertEqual(self.town.net.open_wires(), [])

    def test_silent(self) -> None:
        """A host that takes connections and says nothing costs the greeting time-out."""
        self.begin()
        self.town.run()
        dialled = self.town.dial("a", "b")
        self.town.run(0.0025)
        for wire in self.town.net.wires:
            wire.cut = True
        self.town.run(self.limits.greeting + 1)
        self.failureResultOf(dialled, PeerUnreachable)

    def test_somebody_else_there(self) -> None:
        """Another peer at that address is not talked to."""
        self.begin("abc")
        dialled = self.town.networks["a"].dial(PeerName("b"), [address_of("c")])
        self.town.run()
        wrong = self.failureResultOf(dialled, PeerUnreachable).value
        self.assertIn("b was called, but c answers there", str(wrong))
        self.assertEqual(self.town.agents["c"].told, [])

    def test_another_call_is_answered(self) -> None:
        """An answer that names another call than ours is none."""
        self.begin()
        self.patch(
            Network, "_greeting", lambda network, call="": Hello((1,), DEPLOYMENT, 0, TOP, b"", call + "0")
        )
        dialled = self.town.dial("a", "b")
        self.town.agents["b"].admit = lambda *_: None
        self.town.run()
        self.failureResultOf(dialled, PeerUnreachable)
        self.assertLinked()

    def test_oneself(self) -> None:
        """Who shows our own name is refused, at both ends."""
        self.begin()
        dialled = self.town.dial("a", "a")
        self.town.run()
        self.failureResultOf(dialled, PeerUnreachable)

    def test_given_up(self) -> None:
        """Who dials may lose interest; the last one stops the dialling."""
        self.begin()
        self.town.net.dead.add(host_of("b"))
        first, second = self.town.dial("a", "b"), self.town.dial("a", "b")
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertNoResult(second)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertEqual(self.town.networks["a"]._dialling, {})

    def test_given_up_half_way(self) -> None:
        """A call that is given up while greeting leaves nothing open."""
        self.begin()
        dialled = self.town.dial("a", "b")
        self.town.run(0.0015)
        dialled.cancel()
        self.failureResultOf(dialled, CancelledError)
        self.town.run()
        self.assertEqual(self.town.net.open_wires(), [])
        self.assertLinked()

    def test_idle(self) -> None:
        """A link that was dialled and is not used is closed again."""
        self.begin()
        dialled = self.town.dial("a", "b")
        self.town.run(50)
        self.successResultOf(dialled).reload()
        self.town.agents["b"].links["a"].reload()
        self.town.run(50)
        self.assertLinked("ab")
        self.town.run(self.limits.idle)
        self.assertLinked()
        self.assertEqual(self.town.agents["a"].names()[-1], "unlinked")

    def test_stopping(self) -> None:
        """Who still waits when the network stops is told; nobody can dial any more."""
        self.begin()
        self.town.net.dead.add(host_of("b"))
        dialled = self.town.dial("a", "b")
        self.town.networks["a"].stop()
        self.failureResultOf(dialled, PeerUnreachable)
        self.failureResultOf(self.town.dial("a", "b"), PeerUnreachable)

    def test_mistake(self) -> None:
        """A mistake on our side is logged, and whoever waits is told."""
        self.begin()

        def broken(endpoint: Any) -> Any:
            raise ZeroDivisionError

        self.patch(type(self.town.networks["a"]._wires.security), "client", lambda *_: broken(_))
        self.failureResultOf(self.town.dial("a", "b"), PeerUnreachable)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class KeepTests(NetworkCase):
    """L{INetwork.keep} (R84)."""

    def test_keep(self) -> None:
        """Peers to keep are linked and stay so, used or not."""
        self.begin("abc")
        self.town.keep("a", "a", "b", "c")
        self.town.run(500)
        self.assertLinked("ab", "ac")
        self.assertEqual(self.town.agents["a"].names(), ["linked", "linked"])

    def test_let_go(self) -> None:
        """A peer that is not to be kept any more is let go when idle."""
        self.begin()
        self.town.keep("a", "b")
        self.town.run()
        self.town.keep("a")
        self.town.run()
        self.assertLinked("ab")
        self.town.run(100)
        self.assertLinked()

    def test_dead_neighbour_costs_nothing(self) -> None:
        """While one peer is dead, the others are linked at once (R84)."""
        self.begin("abcd")
        self.town.net.dead.add(host_of("b"))
        self.town.keep("a", "b", "c", "d")
        self.town.run(0.1)
        self.assertLinked("ac", "ad")

    def test_back_off(self) -> None:
        """A dead peer is dialled ever more seldom, and again once it lives."""
        self.begin()
        self.town.net.dead.add(host_of("b"))
        self.town.keep("a", "b")
        self.town.run(600)
        dials = [when for when, _, port in self.town.hosts["a"].dials if port == 1]
        self.assertLess(len(dials), 20)
        gaps = [later - earlier for earlier, later in zip(dials, dials[1:], strict=False)]
        self.assertLess(gaps[0], 5)
        self.assertGreater(gaps[-1], 30)
        self.town.net.dead.clear()
        self.town.run(70)
        self.assertLinked("ab")

    def test_comes_back(self) -> None:
        """A link that is lost is made again."""
        self.begin()
        self.town.keep("a", "b")
        self.town.run(100)
        self.town.agents["b"].links["a"].close()
        self.town.run(0.1)
        self.assertEqual(self.town.agents["a"].names(), ["linked", "unlinked"])
        self.town.run(2)
        self.assertLinked("ab")

    def test_refused_again_and_again(self) -> None:
        """A peer that is never welcome is not dialled in a loop, and complained about once."""
        self.begin()
        self.town.agents["b"].unwelcome.add("a")
        self.town.keep("a", "b")
        self.town.run(600)
        self.assertLess(len(self.town.hosts["a"].dials), 60)
        self.assertEqual(self.town.agents["b"].names(), [])
        self.assertEqual(len(self.town.networks["b"]._wires.complaints._told), 1)
        self.assertGreater(self.town.networks["b"].refused, 5)

    def test_new_address(self) -> None:
        """A new address is tried at once."""
        self.begin()
        self.town.networks["a"].keep({PeerName("b"): [Address("10.9.9.9", 1, 2)]})
        self.town.run(100)
        self.town.keep("a", "b")
        self.town.run(0.1)
        self.assertLinked("ab")

    def test_not_kept_while_dialling(self) -> None:
        """Dialling ends when the peer is not to be kept any more, unless somebody waits."""
        self.begin("abc")
        self.town.net.dead.update({host_of("b"), host_of("c")})
        self.town.keep("a", "b", "c")
        waiting = self.town.dial("a", "c")
        self.town.keep("a")
        self.assertEqual(set(self.town.networks["a"]._dialling), {"c"})
        self.town.run(5)
        self.failureResultOf(waiting, PeerUnreachable)
        self.assertEqual(self.town.networks["a"]._dialling, {})

    @given(st.integers(0, 5000), st.randoms(use_true_random=False))
    def test_pause(self, failures: int, random: Random) -> None:
        """The pause grows, is bounded, and never nothing."""
        limits = Limits()
        self.assertLessEqual(pause(failures, limits, random), limits.last_retry)
        self.assertGreaterEqual(pause(failures, limits, random), limits.first_retry / 2)


class MeetingTests(NetworkCase):
    """Two peers that dial each other get one link."""

    def test_at_once(self) -> None:
        """Whatever the order and the delay, both use the same link, and it stays."""
        for delay in range(8):
            for first, second in ("ab", "ba"):
                self.begin()
                self.town.keep(first, second)
                self.town.run(delay * 0.001)
                self.town.keep(second, first)
                self.town.run(300)
                self.assertLinked("ab")
                for agent in self.town.agents.values():
                    self.assertEqual(agent.names(), ["linked"])
                one, other = (next(iter(agent.links.values())) for agent in self.town.agents.values())
                self.assertNotEqual(one.dialled, other.dialled)
                self.assertEqual(len(self.town.net.open_wires()), 4)
                self.end()

    def test_both_who_wait_are_served(self) -> None:
        """Who dialled gets the link, though the other's call made it."""
        self.begin()
        waiting = self.town.dial("a", "b"), self.town.dial("b", "a")
        self.town.run()
        self.assertEqual([self.successResultOf(one).peer for one in waiting], ["b", "a"])
        self.assertTrue(self.town.agents["a"].links["b"].dialled)

    def test_one_way_street(self) -> None:
        """If the call of the smaller name cannot come through, the other's is taken."""
        self.begin()
        self.town.net.walls.add((host_of("a"), host_of("b")))
        waiting = self.town.dial("a", "b"), self.town.dial("b", "a")
        self.town.run(1)
        self.assertLinked()
        self.town.run(3)
        self.assertEqual([self.successResultOf(one).peer for one in waiting], ["b", "a"])
        self.assertLinked("ab")

    def test_taken_call_ends_the_own(self) -> None:
        """Who takes the other's call dials no further."""
        self.begin()
        self.town.net.dead.add("10.9.9.9")
        waiting = self.town.networks["b"].dial(PeerName("a"), [Address("10.9.9.9", 1, 2), address_of("a")])
        self.town.dial("a", "b")
        self.town.run(10)
        self.assertEqual(self.successResultOf(waiting).peer, "a")
        self.assertEqual({host for _, host, _ in self.town.hosts["b"].dials}, {"10.9.9.9"})

    def test_reboot(self) -> None:
        """A peer that lost its links without a word is linked again when it calls."""
        for caller, called in ("ab", "ba"):
            self.begin()
            self.town.keep(caller, called)
            self.town.keep(called, caller)
            self.town.run(100)
            self.restart("b")
            self.town.keep("b", "a")
            self.town.run(20)
            self.assertLinked("ab")
            self.assertEqual(self.town.agents["a"].names(), ["linked", "unlinked", "linked"])
            self.end()

    def restart(self, name: str) -> None:
        """Let a peer begin anew, with all its wires dead but its host up."""
        town = self.town
        old = town.networks[name]
        for wire in town.net.open_wires():
            wire.cut = True
        for line in list(old._wires.open._closers):
            line.abort("power cut")
        old.stop()
        town.run(0.01)
        town.agents[name].told.clear()
        town.networks[name] = town.network(name)
        town.networks[name].start(town.agents[name])

    def test_newer_call_from_the_same(self) -> None:
        """Who calls although we hold a link of its making has lost that: the newer one counts."""
        self.begin()
        self.town.dial("b", "a")
        self.town.run()
        self.restart("b")
        self.town.dial("b", "a")
        self.town.run()
        self.assertLinked("ab")
        self.assertEqual(self.town.agents["a"].names(), ["linked", "unlinked", "linked"])

    @given(st.booleans(), st.sampled_from([None, False, True]), st.booleans(), st.booleans())
    def test_judge(self, smaller: bool, ours: bool | None, calling: bool, room: bool) -> None:
        """There is never a second link; a living one is never given up for a call that crosses."""
        me, caller = (PeerName("a"), PeerName("b")) if smaller else (PeerName("b"), PeerName("a"))
        verdict = judge(me, caller, ours, calling, room)
        if ours is not None:
            self.assertEqual(verdict, Verdict.DOUBT if ours else Verdict.REPLACE)
        elif not room:
            self.assertEqual(verdict, Verdict.REFUSE)
        else:
            self.assertEqual(verdict, Verdict.PARK if calling and smaller else Verdict.TAKE)


class ReceptionTests(NetworkCase):
    """Who calls, and who may."""

    def call(self, *hellos: tuple[type, Hello], caller: str = "b") -> list[Any]:
        """Connect lines that greet like this to C{a}."""
        lines = []
        for kind, hello in hellos:
            line = Raw(hello)
            server = self.town.net.listening[host_of("a"), 1 if kind is NotifyProtocol else 2]
            there = server.buildProtocol(None)
            self.town.net.wires += wired(self.town.clock, line, there, (host_of(caller), host_of("a")))
            lines.append(line)
        self.town.run()
        return lines

    def hello(self, call: str = "1", name: str = "b", deployment: str = DEPLOYMENT, head: int = 0) -> Hello:
        return Hello((1,), deployment, head, TOP, b"member of " + name.encode(), call)

    def test_two_lines_make_a_link(self) -> None:
        """Two lines of one call, in any order, make a link; the answers name the call."""
        self.begin("a")
        for kinds in ((NotifyProtocol, UpdateProtocol), (UpdateProtocol, NotifyProtocol)):
            lines = self.call(*((kind, self.hello()) for kind in kinds))
            self.assertEqual([line.lost for line in lines], [False, False])
            self.assertIn("b", self.town.networks["a"].links())
            self.assertTrue(all(b'"call":"1"' in line.heard for line in lines))

    def test_lines_that_do_not_match(self) -> None:
        """Lines that say different things, or both are of one kind, are hung up on."""
        self.begin("a")
        other = self.hello(head=1)
        for lines in (
            self.call((NotifyProtocol, self.hello()), (UpdateProtocol, other)),
            self.call((NotifyProtocol, self.hello("2")), (NotifyProtocol, self.hello("2"))),
        ):
            self.town.run()
            self.assertEqual([line.lost for line in lines], [True, True])
        self.assertEqual(self.town.networks["a"]._reception._calls, {})

    def test_half_a_call(self) -> None:
        """A line whose other half never comes is hung up on in time, and forgotten."""
        self.begin("a")
        lines = self.call(
            (NotifyProtocol, self.hello("1")),
            (UpdateProtocol, self.hello("2")),
            (NotifyProtocol, self.hello("3")),
        )
        self.town.run(self.limits.greeting + 1)
        self.assertEqual([line.lost for line in lines], [True, True, True])
        reception = self.town.networks["a"]._reception
        self.assertEqual((reception._calls, reception._strangers, reception._hosts), ({}, {}, {}))

    def test_who_may_not(self) -> None:
        """Strangers to the deployment, and who shows another's statement, get no link and no answer."""
        self.begin("a")
        for hello in (self.hello(deployment="other"), self.hello(name="c")):
            lines = self.call((NotifyProtocol, hello), (UpdateProtocol, hello))
            self.assertEqual([(line.lost, line.heard) for line in lines], [(True, b"")] * 2)
        self.assertEqual(self.town.agents["a"].told, [])
        self.assertEqual(self.town.networks["a"].refused, 2)

    def test_unknown_version(self) -> None:
        """Who speaks no version that we do is hung up on."""
        self.begin("a")
        hello = Hello((9,), DEPLOYMENT, 0, TOP, b"member of b", "1")
        self.assertTrue(self.call((NotifyProtocol, hello))[0].lost)


class FewTests(NetworkCase):
    """With small limits."""

    limits = Limits(strangers=6, strangers_each=4, links=2, early=0)

    def test_one_host_cannot_take_all(self) -> None:
        """One host may hold only so many connections that are no links; others still get through."""
        self.begin("abc")
        silent = [Raw(None) for _ in range(5)]
        for line in silent:
            there = self.town.net.listening[host_of("a"), 1].buildProtocol(None)
            self.town.net.wires += wired(self.town.clock, line, there, (host_of("b"), host_of("a")))
        self.town.run()
        self.assertEqual([line.lost for line in silent], [False] * 4 + [True])
        dialled = self.town.dial("c", "a")
        self.town.run()
        self.successResultOf(dialled)

    def test_no_room(self) -> None:
        """There is a limit to links, for those who call and for those whom we dial."""
        self.begin("abcd")
        for name in "bc":
            self.town.dial(name, "a")
        self.town.run()
        late = self.town.dial("d", "a")
        self.town.run()
        self.failureResultOf(late, PeerUnreachable)
        self.failureResultOf(self.town.dial("a", "d"), PeerUnreachable)


class ListenTests(NetworkCase):
    """Listening."""

    def test_address_in_use(self) -> None:
        """A port that somebody else has is named, and the other one is closed again."""
        self.begin()
        second = self.town.network("a")
        wrong = self.failureResultOf(second.start(self.town.agents["a"]), BadInput).value
        self.assertIn("port 1 ", str(wrong))
        second.ports = (7, 2)
        wrong = self.failureResultOf(second.start(self.town.agents["a"]), BadInput).value
        self.assertIn("port 2 ", str(wrong))
        self.assertNotIn((host_of("a"), 7), self.town.net.listening)

    def test_not_listening(self) -> None:
        """A peer that does not listen can still dial, and is asked over the link that it dialled."""
        self.begin()
        town = self.town
        town.networks["a"].stop()
        town.networks["a"] = town.network("a")
        town.networks["a"].ports = None
        town.networks["a"].start(town.agents["a"])
        dialled = town.dial("a", "b")
        town.run()
        self.successResultOf(dialled)
        town.agents["a"].head = 3
        asked = town.agents["b"].links["a"].ids()
        town.run()
        self.assertEqual(self.successResultOf(asked).last, 3)


class Raw:
    """A caller of no manners: it greets, and keeps what it hears."""

    def __init__(self, hello: Hello | None) -> None:
        self.hello = hello
        self.heard = b""
        self.lost = False

    def makeConnection(self, transport: Any) -> None:
        if self.hello is not None:
            transport.write(b"".join(self.hello.frame().encode()))

    def dataReceived(self, data: bytes) -> None:
        self.heard += data if data != b"".join(Ping().frame().encode()) else b""

    def connectionLost(self, reason: object) -> None:
        self.lost = True
