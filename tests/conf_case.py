"""A deployment in a temporary folder, with directory and peers in memory, to test clumptconf's verbs."""

from collections.abc import Callable, Collection, Mapping, Sequence
from io import StringIO
from json import loads
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from clumpt.apps import conf_options
from clumpt.apps.conf_enrol import Newcomers, add
from clumpt.apps.conf_env import Environment, Site, survey
from clumpt.apps.conf_init import NewDeployment, create, publish
from clumpt.apps.conf_issue import Delivery
from clumpt.apps.conf_keys import Keys, Places
from clumpt.apps.conf_talk import Talk
from clumpt.configfile import load
from clumpt.errors import PeerUnreachable
from clumpt.interfaces import ILink, INetwork, IPeerEvents
from clumpt.model import Address, Peer, PeerName, Settings
from clumpt.testing.memory_directory import MemoryDirectory

NOW = 1_800_000_000.0
IDENT = "site-0123456789ab"


class Link:
    """A link that can be asked to reload; interfaces are checked where they are real."""

    def __init__(self, network: "Network", peer: PeerName) -> None:
        self.network, self.peer = network, peer

    def reload(self) -> None:
        self.network.reloaded.append(self.peer)

    def close(self) -> None:
        self.network.open.remove(self.peer)


@implementer(INetwork)
class Network:
    """Peers that are all up, but those in C{down}."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.reloaded: list[PeerName] = []
        self.open: list[PeerName] = []
        self.greeted: list[tuple[Any, ...]] = []
        self.stopped = 0

    def start(self, events: IPeerEvents) -> Deferred[None]:
        self.greeted.append(events.hello())
        return succeed(None)

    def keep(self, peers: Mapping[PeerName, Sequence[Address]]) -> None:
        raise NotImplementedError

    def links(self) -> Mapping[PeerName, ILink]:
        raise NotImplementedError

    def dial(self, peer: PeerName, addresses: Sequence[Address]) -> Deferred[ILink]:
        if peer in self.down:
            return fail(PeerUnreachable(f"{peer} is down"))
        self.open.append(peer)
        link: Any = Link(self, peer)
        return succeed(link)

    def stop(self) -> Deferred[None]:
        self.stopped += 1
        return succeed(None)


class MemorySetup:
    """Sets up a directory in memory, which is made with its settings."""

    def __init__(self, directory: MemoryDirectory) -> None:
        self.directory = directory
        self.missing: list[str] = []

    def initialise(self, settings: Settings) -> Deferred[None]:
        self.initialised = settings
        return self.directory.settings().addCallback(lambda there: None)

    def verify_schema(self) -> Deferred[Sequence[str]]:
        return succeed(self.missing)


class ConfCase(SynchronousTestCase):
    """Tests of verbs."""

    def setUp(self) -> None:
        self.out = Path(self.mktemp()).absolute()
        self.out.mkdir()
        self.now = NOW
        self.network = Network()
        self.answers: list[bool] = []
        self.directory = MemoryDirectory.holding(Settings(IDENT))
        self.setup = MemorySetup(self.directory)

    def make(self, **more: Any) -> None:
        """Do what C{clumptconf init} does."""
        create(self.out, NewDeployment(IDENT, ("ldaps://127.0.0.1:6360",), **more), NOW)
        self.env = self.environment()
        self.did(publish(self.env))

    def environment(self, **more: Any) -> Environment:
        self.stdout, self.stderr = StringIO(), StringIO()
        config = load(self.out / "clumpt.ini")
        return Environment(
            config,
            self.directory,
            self.setup,
            Keys(Places.of(config)),
            lambda: self.network,
            Random(1),
            lambda: self.now,
            Talk(self.stdout, self.stderr, **{"yes": True, **more}),
        )

    def ask(self, *answers: bool, **more: Any) -> Environment:
        """An environment in which somebody gives these answers."""
        left = list(answers)
        return self.environment(yes=False, ask=lambda: succeed(left.pop(0)), **more)

    def did(self, doing: Deferred[Any]) -> Any:
        return self.successResultOf(doing)

    def newcomers(self, *words: str) -> Newcomers:
        """What the words of C{clumptconf add} say."""
        options = conf_options.Add()
        options.parseOptions(list(words))
        newcomers: Newcomers = options["newcomers"]
        return newcomers

    def add(self, *words: str, env: Environment | None = None, unpacked: bool = False) -> None:
        self.did(add(env or self.env, self.newcomers(*words), Delivery(self.out / "nodes", unpacked)))

    def site(self) -> Site:
        site: Site = self.did(survey(self.env))
        return site

    def peer(self, name: str) -> Peer:
        peer = self.did(self.directory.peer(PeerName(name)))
        assert isinstance(peer, Peer), name
        return peer

    def said(self) -> str:
        return self.stderr.getvalue()

    def shown(self) -> Any:
        """The JSON that was printed."""
        return loads(self.stdout.getvalue())

    def fails(self, kind: type[Exception], doing: Callable[[], Any]) -> str:
        """The text of the error that C{doing} raises or its Deferred fails with."""
        try:
            result = doing()
        except kind as error:
            return str(error)
        return str(self.failureResultOf(result, kind).value)

    def names(self, peers: Collection[Peer]) -> list[str]:
        return [peer.name for peer in peers if peer.addresses]
