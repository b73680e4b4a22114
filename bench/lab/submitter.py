"""
The submitter of a race, in a process of its own on the source's host:

  python -m bench.lab.submitter CONFIGURATION PACKAGE PEERS.json INITIAL [open]

Says C{ready} once the update is signed and registered.  Tells the first peers when it reads a line, says
the time at which it began, and C{over} when they have received.  With C{open} it is linked to all peers
before.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Collection
from hashlib import sha256
from pathlib import Path
from random import SystemRandom
from typing import Any

from attrs import define
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from bench.lab.enrolment import DEPLOYMENT, GROUP, LINKER
from clumpt.agent.cache import decode_peers
from clumpt.agent.rate import Bucket
from clumpt.agent.serve import Server
from clumpt.agent.submission import Submission, share
from clumpt.aio import deferred
from clumpt.apps.rooms import real_directory
from clumpt.config import Config
from clumpt.configfile import load
from clumpt.model import Action, Entry, Package, PeerName, Update
from clumpt.pieces import Bits, Digest, HashList, Pieces, digest_of, piece_size
from clumpt.protocols.client import Network
from clumpt.protocols.tls import TlsSecurity
from clumpt.trust.keyring import Keyring
from clumpt.trust.signer import Signer

#: Seconds after which the submitter gives up.
WITHIN = 600.0
#: No program: the race is over when the package is whole at a peer, and nothing is run there.
NOTHING = "/nonexistent/a-race-installs-nothing"


@define(eq=False)
class OneFile:
    """A repository that holds one package: the file at C{path}."""

    path: Path
    _hashes: bytes = b""
    _pieces: Any = None

    def package(self) -> Package:
        """Hash the file."""
        size, total, whole = piece_size(self.path.stat().st_size), 0, sha256()
        with self.path.open("rb") as file:
            while piece := file.read(size):
                total += len(piece)
                whole.update(piece)
                self._hashes += sha256(piece).digest()
        self._pieces = Pieces(total, size, digest_of(self._hashes))
        return Package("race", "1", "all", self.path.name, Digest(whole.hexdigest()), self._pieces)

    def held(self, package: Package) -> Bits:
        """All pieces."""
        return Bits.full(package.pieces.count)

    def hashes(self, package: Package) -> bytes:
        """The list of piece hashes."""
        return HashList.checked(self._hashes, self._pieces).raw

    def read(self, package: Package, index: int) -> bytes:
        """One piece."""
        with self.path.open("rb") as file:
            file.seek(self._pieces.offset(index))
            return file.read(self._pieces.length(index))


def ordered(keyring: Keyring, signer: Signer, package: Package) -> Entry:
    """The first update of the table: bring C{package} to everybody."""
    return signer.sign_update(
        Update(
            deployment=DEPLOYMENT,
            seq=1,
            prev=keyring.origin,
            submit_id="race-1",
            issued=int(time.time()),
            groups=frozenset([GROUP]),
            action=Action.INSTALL,
            installer="command",
            packages=(package,),
            argv=(NOTHING,),
        )
    )


def go() -> Deferred[str]:
    """Fires with a line from stdin."""
    return deferToThread(sys.stdin.readline)


def told(received: Collection[PeerName]) -> None:
    """Nobody watches."""


@deferred
async def submit(reactor: Any, config: Config, path: Path, listed: Path, initial: int, links: bool) -> None:
    """Do it all."""
    keyring = Keyring.trusting([config.trust.root.read_bytes()])
    peers = decode_peers(listed.read_bytes())
    me = next(peer for peer in peers if peer.name == LINKER)
    candidates = {peer.name: peer.addresses for peer in peers if peer.addresses}
    files = OneFile(path)
    entry = ordered(keyring, Signer.load(config.submit.key), files.package())
    directory = real_directory(config, reactor)
    await directory.register(entry)
    folder = config.tls.ca.parent
    security = TlsSecurity(reactor, config.tls.ca, folder / f"{LINKER}.pem", folder / f"{LINKER}-key.pem")
    network = Network(reactor, reactor, SystemRandom(), security, me.name)
    submission = Submission(
        reactor,
        SystemRandom(),
        network,
        Server(reactor, SystemRandom(), files, Bucket(0.0), True, network.links, lambda package: True),
        (keyring.deployment, entry.seq, entry.digest, me.member),
        lambda peer, fingerprint, member: keyring.member(member),
        [entry],
        {},
        candidates,
        share(len(candidates), initial),
        told,
    )
    await network.start(submission)
    if links:
        submission.greeting = (keyring.deployment, 0, keyring.origin, me.member)
        await gatherResults([network.dial(peer, addresses) for peer, addresses in candidates.items()])
    print("ready", flush=True)
    await go()
    print(repr(time.time()), flush=True)
    seeded = await submission.run(WITHIN)
    print(f"over: {len(seeded.received)} received, unreachable: {sorted(seeded.unreachable)}", flush=True)
    await network.stop()
    await directory.close()


def main(words: list[str]) -> None:
    """Run until it is over."""
    reactor: Any = installed
    reactor.seconds = time.monotonic

    def begin() -> None:
        links = "open" in words[4:]
        done = submit(reactor, load(Path(words[0])), Path(words[1]), Path(words[2]), int(words[3]), links)
        done.addErrback(lambda failure: print(f"failed: {failure.getTraceback()}", flush=True))
        done.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1:])
