"""The peer: C{twistd -n clumpt --config /etc/clumpt.ini}, or C{clumptd}."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

from attrs import define, field, frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorProcess
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from clumpt.agent.agent import Agent
from clumpt.agent.manners import Manners
from clumpt.aio import deferred
from clumpt.apps.identity import Expiry, secured
from clumpt.apps.install_helper import rules_of
from clumpt.apps.oneshot import Status, ToolOptions, status_of, steady
from clumpt.apps.ready import tell_systemd
from clumpt.apps.rooms import read, real_directory
from clumpt.config import DEFAULT_PATH, Config
from clumpt.configfile import load
from clumpt.configtext import render
from clumpt.errors import ClumptError, ConfigurationError, IdentityError
from clumpt.install.runner import HelperInstaller, outside_service
from clumpt.install.spool import Spool
from clumpt.interfaces import IDirectory, IInstaller, IJournal, ISecurity, IStorage
from clumpt.model import PeerName
from clumpt.places import Locality
from clumpt.protocols.client import Network
from clumpt.protocols.limits import Limits
from clumpt.protocols.tls import TlsSecurity
from clumpt.store.journal import SqliteJournal
from clumpt.store.repository import FileRepository
from clumpt.store.storage import DiskStorage
from clumpt.trust.keyring import Keyring

#: Seconds after which a start is taken to wait for the directory, and whoever began it waits no longer.
PATIENCE = 20.0
#: Seconds between two warnings that the certificate ends.
WARN = 86400.0
#: Starts the install helper of this very Clumpt, which need not be on the path of other processes.
_HELPER = (
    "import sys; sys.path[0] = sys.argv.pop(1); from clumpt.apps.install_helper import main; sys.exit(main())"
)


@frozen
class Node:
    """
    What a peer finds on its node, real or simulated.

    @ivar root: the pinned root document, version 1.
    @ivar reactor: the node's own; simulated peers have one each.
    @ivar wall: seconds since the epoch.
    @ivar directory: makes this node's own way to the directory.
    @ivar installer: made once the journal is open: it is given the root documents in force.
    @ivar in_thread: runs slow work on the disk; fires with its result.
    @ivar mended: given if the journal was lost; called once nothing can be run twice for it.
    @ivar worry: what there is to be said of this node besides; empty for nothing.
    """

    root: bytes
    reactor: Any
    random: Random
    wall: Callable[[], float]
    security: ISecurity
    directory: Callable[[], IDirectory]
    storage: IStorage
    journal: IJournal
    installer: Callable[[Callable[[], Sequence[bytes]]], IInstaller]
    in_thread: Callable[..., Deferred[Any]]
    mended: Callable[[], None] | None = None
    worry: Callable[[], str] = lambda: ""


@define(eq=False)
class Peer:
    """A peer that is wired: its agent, and what must be closed after it."""

    agent: Agent
    directory: IDirectory
    journal: IJournal

    @deferred
    async def stop(self) -> None:
        """End cleanly; fires when all is closed."""
        await self.agent.stop()
        await self.directory.close()
        self.journal.close()


def manners(config: Config) -> Manners:
    """How C{config} lets a peer behave."""
    return Manners(
        serve_installed=config.peer.serve == "installed",
        jitter=config.peer.interval_jitter,
        report_delay=config.directory.report_delay,
        fanout=config.limits.fanout,
        upload=config.limits.upload,
        download=config.limits.download,
        upload_hours=config.limits.upload_hours,
        download_hours=config.limits.download_hours,
        quota=config.limits.quota,
        locality=Locality(config.peer.locality),
    )


@deferred
async def build(config: Config, node: Node) -> Peer:
    """
    Wire one peer; daemon and simulator alike do it here.

    Fails with L{ClumptError} if the node's disk or documents cannot be used.
    """
    kept = node.journal.roots()
    if kept and kept[0] != node.root:
        raise IdentityError(
            f"{config.peer.state} belongs to another deployment than {config.trust.root}: "
            "give this peer another state folder, or the root document it was enrolled with"
        )
    keyring = Keyring.trusting(kept or [node.root])
    name = PeerName(config.peer.name)
    node.journal.identity(keyring.deployment, name)
    if not kept:
        node.journal.add_root(node.root)
    repository = await FileRepository.open(node.storage, node.in_thread, config.limits.quota)
    network = Network(
        node.reactor,
        node.reactor,
        node.random,
        node.security,
        name,
        config.peer.listen,
        (config.peer.notify_port, config.peer.update_port),
        Limits(links=config.limits.links),
    )
    directory = node.directory()
    agent = Agent(
        name,
        manners(config),
        node.reactor,
        node.random,
        node.wall,
        directory,
        network,
        node.journal,
        repository,
        node.installer(node.journal.roots),
        keyring,
        node.mended,
        node.worry,
    )
    return Peer(agent, directory, node.journal)


def real_node(
    config: Config,
    reactor: Any,
    in_thread: Callable[..., Deferred[Any]],
    path: Path | None = None,
    helpers: IReactorProcess | None = None,
) -> Node:
    """
    The node that this process runs on; raises L{ClumptError}.

    @param path: the file that C{config} was read from, which the install helper reads for itself; None if
        there is none, and the helper believes the daemon.
    @param helpers: starts install helpers, if the reactor is not to do it.
    """
    # First what changes nothing, so that a start that must fail leaves no trace.
    root = read(config.trust.root, "the pinned root document")
    security = secured(config, root, reactor, time.time())
    state = config.peer.state
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as trouble:
        raise ConfigurationError(
            f"{state}: cannot be made: {trouble.strerror} (state, in [peer])"
        ) from trouble
    journal, damaged = SqliteJournal.open(state / "journal.db")
    if damaged is not None:
        Logger().critical(
            "the journal was damaged and is kept as {damaged}; what the directory does not know to be "
            "installed is held until an administrator decides",
            damaged=str(damaged),
        )
    words: tuple[str, ...] = (sys.executable, "-c", _HELPER, str(Path(__file__).parents[2]))
    if path is not None:
        words = (*words, "--config", str(path.absolute()))
    helper = outside_service(words, os.geteuid(), Path.exists)
    rules = rules_of(config.install)

    def installer(roots: Callable[[], Sequence[bytes]]) -> IInstaller:
        return HelperInstaller(reactor, helpers or reactor, Spool(state / "spool"), rules, roots, helper)

    return Node(
        root,
        reactor,
        SystemRandom(),
        time.time,
        security,
        lambda: real_directory(config, reactor),
        DiskStorage(state),
        journal,
        installer,
        in_thread,
        journal.mended if damaged is not None else None,
        Expiry(config.tls.certificate, time.time).worry,
    )


class Options(ToolOptions):
    """The words on the command line of the daemon."""

    synopsis = "[--config FILE] [--check-config]"
    optParameters = [["config", "c", str(DEFAULT_PATH), "The configuration file; see clumpt.ini(5)."]]
    optFlags = [
        ["check-config", None, "Print the merged configuration and where each value is from, and end."]
    ]

    def postOptions(self) -> None:
        """Read the configuration; all its mistakes are told at once."""
        self.config = load(Path(self["config"]))
        if self["check-config"]:
            sys.stdout.write(render(self.config))
            raise SystemExit(0)
        parent = self.parent
        if parent is not None and "logger" in parent and not (parent["logger"] or parent["logfile"]):
            log = self.config.log
            parent["logger"] = f"clumpt.apps.logs.{log.format}.{log.level}"


@define(eq=False)
class Daemon(Service):
    """
    The peer as a service: starts, reloads and ends it.

    @ivar ended: called with the exit status when the peer cannot start.
    @ivar started: called with how it is, once the peer is up, and before that if the start takes long.
    """

    path: Path
    config: Config
    _reactor: Any
    _node: Callable[[Config, Any], Node]
    _ended: Callable[[int], None]
    _started: Callable[[str], None]
    _peer: Peer | None = field(default=None, init=False)
    _security: ISecurity | None = field(default=None, init=False)
    _warning: IDelayedCall | None = field(default=None, init=False)
    log = Logger()

    def startService(self) -> None:
        """Start as soon as the reactor runs, so that a failure can end it."""
        super().startService()
        self._reactor.callWhenRunning(lambda: self._start().addErrback(self._failed))

    @deferred
    async def _start(self) -> None:
        node = self._node(self.config, self._reactor)
        self._security = node.security
        self._peer = await build(self.config, node)
        if not self.running:
            # Asked to end meanwhile, when there was nothing to close yet.
            await self._peer.stop()
            return
        self._warn(node)
        await self._come_up(self._peer.agent)

    def _warn(self, node: Node) -> None:
        """Say at once, and then daily, that the certificate ends."""
        if worry := node.worry():
            self.log.warn(
                "{worry}: clumptconf renew {peer} makes a new one", worry=worry, peer=self.config.peer.name
            )
        self._warning = self._reactor.callLater(WARN, self._warn, node)

    async def _come_up(self, agent: Agent) -> None:
        late = self._reactor.callLater(PATIENCE, self._started, "waiting for the directory")
        try:
            await agent.start()
        finally:
            if late.active():
                late.cancel()
        if self.running:
            self.log.info("{peer} is up", peer=agent.name)
            self._started(f"{agent.name} is up")

    def _failed(self, failure: Failure) -> None:
        if not self.running:
            return
        if isinstance(failure.value, ClumptError):
            self.log.critical("cannot start: {reason}", reason=str(failure.value))
            self._ended(int(status_of(failure.value)))
        else:
            self.log.failure("cannot start", failure)
            self._ended(int(Status.UNEXPECTED))

    def stopService(self) -> Deferred[None] | None:
        """End cleanly; fires when all is closed."""
        super().stopService()
        if self._warning is not None and self._warning.active():
            self._warning.cancel()
        return self._peer.stop() if self._peer is not None else None

    def reload(self) -> None:
        """Read the configuration, the certificates and the directory anew (SIGHUP)."""
        try:
            config = load(self.path)
            if isinstance(self._security, TlsSecurity):
                self._security.reload()
        except ClumptError as wrong:
            self.log.error("not reloaded, everything stays as it was: {wrong}", wrong=str(wrong))
            return
        if self._peer is not None:
            self._peer.agent.behave(manners(config))
            self._peer.agent.reload()
        self.log.info("reloaded; names, ports, folders and servers change at the next start only")
        self.config = config


def makeService(options: Options) -> Daemon:
    """The service that twistd runs."""
    from twisted.internet import reactor as installed

    reactor: Any = installed
    steady(reactor)
    path = Path(options["config"]).absolute()
    status = [0]

    def ended(code: int) -> None:
        status[0] = code
        reactor.stop()

    # twistd itself always ends with 0.
    atexit.register(lambda: os._exit(status[0]) if status[0] else None)
    disk = ThreadPool(0, 1, "disk")
    reactor.addSystemEventTrigger("before", "startup", disk.start)
    reactor.addSystemEventTrigger("after", "shutdown", disk.stop)

    def node(config: Config, reactor: Any) -> Node:
        return real_node(
            config, reactor, lambda call, *words: deferToThreadPool(reactor, disk, call, *words), path
        )

    daemon = Daemon(path, options.config, reactor, node, ended, partial(tell_systemd, os.environ))
    # Python calls this between any two instructions: let the reactor take it from there.
    signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(daemon.reload))
    return daemon
