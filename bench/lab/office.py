"""
Administrators and directory of a race, in a process of its own:

  python -m bench.lab.office PLAN.json

Makes a deployment and enrols its peers with the functions of clumptconf, serves the directory, and says
C{ready}.  The plan says C{folder}, C{office} (the address of this host), C{source} (that of the submitter's
host), C{peers} (addresses in order), C{neighbours} and C{initial}.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet import reactor as installed

from clumpt.aio import deferred
from clumpt.apps.conf import environment
from clumpt.apps.conf_enrol import Newcomers, add
from clumpt.apps.conf_init import NewDeployment, create, publish
from clumpt.apps.conf_issue import Delivery
from clumpt.apps.conf_talk import Talk
from clumpt.apps.directory import DirectoryServer, Listening, tls_options
from clumpt.apps.oneshot import steady
from clumpt.ldap import schema
from clumpt.ldap.embedded.store import Store
from clumpt.model import Address, GroupName, PeerName

BASE, GROUP = "o=clumpt", GroupName("all")
NOTIFY, UPDATE, LDAPS = 4417, 4418, 6636


def name_of(number: int) -> PeerName:
    """The name of the peer on host C{number}."""
    return PeerName(f"peer{number:04d}")


def configuration(folder: Path, name: str = "") -> Path:
    """The configuration of a peer, or of the administrators."""
    return folder / "nodes" / name / "clumpt.ini" if name else folder / "admin" / "clumpt.ini"


def state(folder: Path, name: str) -> Path:
    """What a peer keeps."""
    return folder / "state" / name


@deferred
async def found(plan: dict[str, Any], folder: Path, reactor: Any) -> None:
    """Make the deployment, open its directory, and enrol everybody; then write down who knows whom."""
    config = configuration(folder)
    config.parent.mkdir()
    uri = f"ldaps://{plan['office']}:{LDAPS}"
    create(config.parent, NewDeployment("race-1", (uri,), days=2), time.time())
    _drop_in(config, f"[submit]\nlisten = {plan['source']}\n")
    tls = tls_options(config.parent / "clumpt" / "directory")
    listening = Listening(plan["office"], LDAPS)
    await DirectoryServer(reactor, Store(BASE, schema.load()), tls, listening).start()
    env = environment(config, Talk(sys.stderr, sys.stderr, yes=True), reactor)
    await publish(env)
    settings = await env.directory.settings()
    await env.directory.change_settings(
        evolve(settings, neighbours=plan["neighbours"], initial=plan["initial"])
    )
    addresses = {name_of(number): host for number, host in enumerate(plan["peers"], start=1)}
    newcomers = {name: Address(host, NOTIFY, UPDATE) for name, host in addresses.items()}
    await add(env, Newcomers(newcomers, frozenset([GROUP])), Delivery(folder / "nodes", unpacked=True))
    for name, host in addresses.items():
        more = "[install]\nallow_command = yes\n"
        _drop_in(
            configuration(folder, name), f"[peer]\nlisten = {host}\nstate = {state(folder, name)}\n{more}"
        )
    known = {peer.name: list(peer.neighbours) for peer in await env.directory.peers()}
    (folder / "neighbours.json").write_text(json.dumps(known))
    await env.directory.close()


def _drop_in(config: Path, text: str) -> None:
    folder = config.parent / "clumpt.d"
    folder.mkdir()
    (folder / "race.ini").write_text(text)


def main(path: Path) -> None:
    """Serve until the process is ended."""
    reactor: Any = installed
    steady(reactor)
    plan = json.loads(path.read_text())

    def begin() -> None:
        done = found(plan, Path(plan["folder"]), reactor)
        done.addCallbacks(lambda _: print("ready", flush=True), failed)

    def failed(failure: Any) -> None:
        print(failure.getTraceback(), flush=True)
        reactor.stop()

    reactor.callWhenRunning(begin)
    reactor.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
