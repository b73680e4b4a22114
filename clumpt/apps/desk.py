"""What the verbs of C{clumpt} have at hand: the directory, the keys in force, the network, the screen."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, TextIO

from attrs import define, field
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from clumpt import expiry
from clumpt.agent.visitor import Greeting
from clumpt.aio import deferred
from clumpt.apps.ask import answer
from clumpt.apps.connect import SUBMITTER_FILES, as_tool
from clumpt.apps.rooms import real_directory
from clumpt.apps.screen import Screen
from clumpt.apps.visitor import greeting
from clumpt.config import Config
from clumpt.errors import (
    BadDocument,
    BadInput,
    ConfigurationError,
    DirectoryRefused,
    IdentityError,
    Untrusted,
)
from clumpt.idset import IdSet
from clumpt.interfaces import IDirectory, INetwork, ISigner
from clumpt.model import Entry, PeerName, Seq, Settings
from clumpt.pieces import Digest
from clumpt.protocols.client import Network
from clumpt.protocols.limits import Limits
from clumpt.protocols.tls import TlsSecurity
from clumpt.trust.files import read
from clumpt.trust.keyring import Keyring
from clumpt.trust.pki import SUBMITTER, expires
from clumpt.trust.signer import Signer

#: Where the passphrase of the submit key is looked for, if it has one.
PASSPHRASE = "CLUMPT_PASSPHRASE"
#: Envelopes asked of the directory at a time.
PAGE = 500


@define(eq=False)
class Desk:
    """
    An administrator's desk; tests and demonstrations furnish it with what they like.

    @ivar wall: seconds since the epoch.
    @ivar name: as whom peers and directory know us, from the certificate.
    @ivar root: the pinned root document, version 1.
    @ivar network: makes a network of our own; True if it is to listen.
    @ivar signer: gives the submit key; raises L{BadInput}.
    @ivar in_thread: runs slow work on the disk; fires with its result.
    """

    config: Config
    reactor: Any
    random: Random
    wall: Callable[[], float]
    name: PeerName
    root: bytes
    directory: IDirectory
    network: Callable[[bool], INetwork]
    signer: Callable[[], ISigner]
    in_thread: Callable[..., Deferred[Any]]
    screen: Screen
    _trust: Keyring | None = field(default=None, init=False)
    _entries: dict[Seq, Entry] = field(factory=dict, init=False)
    _bad: dict[Seq, str] = field(factory=dict, init=False)

    @deferred
    async def settings(self) -> Settings:
        """The settings; fails with L{IdentityError} if they are another deployment's."""
        settings = await self.directory.settings()
        keyring = await self.keyring()
        if settings.deployment != keyring.deployment:
            raise IdentityError(
                f"the directory is that of deployment {settings.deployment}, the root document here"
                f" that of {keyring.deployment}: see [directory] and [trust] in the configuration"
            )
        return settings

    @deferred
    async def keyring(self) -> Keyring:
        """The keys in force, by the pinned root and what the directory says followed from it."""
        if self._trust is None:
            try:
                keyring = Keyring.trusting([self.root])
            except (BadDocument, Untrusted) as wrong:
                raise BadInput(
                    f"{self.config.trust.root} is no root document to trust: {wrong} (root, in [trust])"
                ) from wrong
            for envelope in await self.directory.root_documents():
                keyring.learn_root(envelope)
            self._trust = keyring
        return self._trust

    @deferred
    async def entries(self, ids: IdSet) -> dict[Seq, Entry]:
        """Those of C{ids} that are registered and good, in order; of the others the operator is told once."""
        keyring = await self.keyring()
        missing = [seq for seq in ids if seq not in self._entries and seq not in self._bad]
        for first in range(0, len(missing), PAGE):
            page = IdSet.of(missing[first : first + PAGE])
            for envelope in await self.directory.updates(page):
                self._take(envelope, keyring)
        return {seq: self._entries[seq] for seq in ids if seq in self._entries}

    def _take(self, envelope: bytes, keyring: Keyring) -> None:
        try:
            entry = keyring.entry(envelope)
        except (BadDocument, Untrusted) as wrong:
            try:
                seq = keyring.kept(envelope).seq
            except BadDocument:
                seq = 0
            if seq not in self._bad:
                self.screen.say(f"update {seq or '?'} in the directory is not good: {wrong}")
            self._bad[seq] = str(wrong)
        else:
            self._entries[entry.seq] = entry

    @deferred
    async def entry(self, seq: Seq) -> Entry:
        """
        One update.

        Fails with L{BadInput} if there is none such, and with L{Untrusted} if it is not good.
        """
        found = await self.entries(IdSet([(seq, seq)]))
        if seq in self._bad:
            raise Untrusted(f"update {seq} in the directory is not good: {self._bad[seq]}")
        if seq not in found:
            raise BadInput(f"there is no update {seq}; the newest is {await self.directory.head()}")
        return found[seq]

    @deferred
    async def greeting(self) -> Greeting:
        """How to greet peers; fails with L{IdentityError} if we are not enrolled."""
        return await greeting(self.directory, await self.keyring(), self.name)

    @deferred
    async def digest(self, seq: Seq) -> Digest:
        """The digest of update C{seq}, for 0 that of the first root; fails if the directory lacks it."""
        if seq == 0:
            return (await self.keyring()).origin
        try:
            return (await self.entry(seq)).digest
        except BadInput as wrong:
            raise DirectoryRefused(
                f"the directory counts {seq} updates and does not give update {seq}: it is damaged, or this"
                " identity may not read it"
            ) from wrong

    def close(self) -> Deferred[None]:
        """Let go of the directory."""
        return self.directory.close()


def real_desk(config: Config, reactor: Any, stdout: TextIO, stderr: TextIO) -> Desk:
    """The desk that C{config} describes; raises L{clumpt.errors.ClumptError}."""
    config = as_tool(config, SUBMITTER_FILES)
    now = time.time()
    ends = check_identity(config, now)
    security = TlsSecurity(reactor, config.tls.ca, config.tls.certificate, config.tls.key)
    screen = Screen(stdout, stderr, _asking(reactor))
    name = security.own[0]
    if worry := expiry.worry(ends, now):
        screen.say(f"{name}: {worry}; clumptconf renew {name} makes a new one")
    random = SystemRandom()
    submit = config.submit

    def network(listening: bool) -> Network:
        ports = (submit.notify_port, submit.update_port) if listening else None
        return Network(reactor, reactor, random, security, name, submit.listen, ports, Limits(idle=600.0))

    return Desk(
        config,
        reactor,
        random,
        time.time,
        name,
        read(config.trust.root),
        real_directory(config, reactor),
        network,
        lambda: submit_key(submit.key),
        lambda call, *words: deferToThreadPool(reactor, reactor.getThreadPool(), call, *words),
        screen,
    )


def _asking(reactor: Any) -> Callable[[], Deferred[bool]] | None:
    # Nobody can be asked where nobody sits.
    return (lambda: answer(reactor)) if os.isatty(0) else None


def submit_key(path: Path) -> ISigner:
    """The submit key in C{path}; raises L{BadInput}."""
    passphrase = os.environ.get(PASSPHRASE)
    return Signer.load(path, passphrase.encode() if passphrase else None)


def check_identity(config: Config, now: float) -> float:
    """When our certificate ends; raises L{IdentityError} if it can be no use to anybody."""
    certificate = config.tls.certificate
    try:
        ours = x509.load_pem_x509_certificate(read(certificate))
        authorities = x509.load_pem_x509_certificates(read(config.tls.ca))
    except ValueError as wrong:
        raise ConfigurationError(f"{certificate} or {config.tls.ca} is no certificate in PEM") from wrong
    if expires(ours) < now:
        raise IdentityError(f"{certificate} has expired; clumptconf renew {SUBMITTER} makes a new one")
    if not any(_issued(ours, authority) for authority in authorities):
        raise IdentityError(f"{certificate} is not of the authority in {config.tls.ca}")
    return expires(ours)


def _issued(ours: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        ours.verify_directly_issued_by(authority)
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True
