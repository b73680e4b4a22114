"""
The submitter of a race, in a process of its own on the source's host:

  python -m bench.lab.submitter CONFIGURATION PACKAGE [open]

Does what C{clumpt install} does, step by step.  Says C{ready} once the update is signed and registered; when
its stdin ends, it says the time and tells the first peers; C{over} when they have received.  With C{open}
it is linked to all peers before.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, gatherResults

from bench.lab.office import GROUP
from clumpt.aio import deferred
from clumpt.apps.desk import Desk, real_desk
from clumpt.apps.oneshot import steady
from clumpt.apps.submitting import Submitter, make_plan
from clumpt.apps.verbs.install import offer
from clumpt.configfile import load
from clumpt.install.command import COMMAND
from clumpt.install.packages import any_file
from clumpt.interfaces import INetwork
from clumpt.model import Action
from clumpt.order import Order
from clumpt.store.offered import Offered

#: Seconds after which the submitter gives up.
WITHIN = 600.0
#: No program: the race is over when the package is whole at a peer, and nothing is run there.
NOTHING = "/nonexistent/a-race-installs-nothing"


def go(desk: Desk) -> Deferred[str]:
    """Fires when stdin ends."""
    return desk.in_thread(sys.stdin.read)


def networks(desk: Desk) -> list[INetwork]:
    """The networks that C{desk} is going to make."""
    made: list[INetwork] = []
    make = desk.network

    def remembered(listening: bool) -> INetwork:
        made.append(make(listening))
        return made[-1]

    desk.network = remembered
    return made


@deferred
async def submit(desk: Desk, path: Path, links: bool) -> None:
    """Do it all."""
    offered, made = Offered(), networks(desk)
    packages = await offer(desk, offered, [path], [any_file(path)])
    order = Order(frozenset([GROUP]), Action.INSTALL, COMMAND, packages, (NOTHING,))
    plan = await make_plan(desk, order)
    submitter = Submitter(desk, plan, offered)
    await submitter.open()
    if links:
        await gatherResults([made[0].dial(peer.name, peer.addresses) for peer in plan.targets])
    entry = await submitter.register()
    print("ready", flush=True)
    await go(desk)
    print(f"began {time.time()!r}", flush=True)
    seeded = await submitter.seed(entry, WITHIN)
    print(f"over: {len(seeded.received)} received, unreachable: {sorted(seeded.unreachable)}", flush=True)
    await submitter.close()
    await desk.close()


def main(config: Path, path: Path, links: bool) -> None:
    """Run until it is over."""
    reactor: Any = installed
    steady(reactor)

    def begin() -> None:
        done = submit(real_desk(load(config), reactor, sys.stdout, sys.stderr), path, links)
        done.addErrback(lambda failure: print(f"failed: {failure.getTraceback()}", flush=True))
        done.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), "open" in sys.argv[3:])
