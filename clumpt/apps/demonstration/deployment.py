"""A deployment made as an administrator would make it, with the functions of clumptconf (R66-R75)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from attrs import evolve, frozen

from clumpt.aio import deferred
from clumpt.apps.conf import environment
from clumpt.apps.conf_enrol import Newcomers, add
from clumpt.apps.conf_env import Environment
from clumpt.apps.conf_init import NewDeployment, create, identifier, publish
from clumpt.apps.conf_issue import Delivery
from clumpt.apps.conf_talk import Talk
from clumpt.apps.demonstration.loopback import NOTIFY, UPDATE
from clumpt.apps.demonstration.place import Place
from clumpt.model import Address, GroupName, PeerName

#: Two clusters, and the group of all (R79).
INTEL, AMD, ALL = GroupName("intel"), GroupName("amd"), GroupName("all")
#: Seconds over which a peer gathers what it reports, if a demonstration is watched.
_REPORT_DELAY = "0.1"
#: Days for which certificates are good: so many that nobody is warned of their end.
_DAYS = 90.0


@frozen
class Node:
    """One node: its number, from 1 on, gives its name and address."""

    number: int
    groups: frozenset[GroupName]

    @property
    def name(self) -> PeerName:
        """Such as C{node07}."""
        return PeerName(f"node{self.number:02}")


def nodes(count: int) -> tuple[Node, ...]:
    """C{count} nodes, half of them in each cluster, and all in the group of all (R79)."""
    half = (count + 1) // 2
    return tuple(
        Node(number, frozenset((INTEL if number <= half else AMD, ALL))) for number in range(1, count + 1)
    )


def initialise(place: Place, now: float, unique: str, watched: bool) -> None:
    """Make keys, certificates and configuration of the administrator: C{clumptconf init}."""
    ident = identifier("demo", unique)
    options = (("report_delay", _REPORT_DELAY),) if watched else ()
    new = NewDeployment(ident, place.uris, options, days=_DAYS)
    place.etc.mkdir()
    create(place.etc, new, now)
    _add_lines(place.config, {"submit": {"listen": place.net.submitter}})


def administrator(place: Place, reactor: Any, log: TextIO) -> Environment:
    """What clumptconf works with; what it says goes into C{log}.  Close its directory afterwards."""
    return environment(place.config, Talk(log, log, yes=True), reactor)


@deferred
async def enrol(env: Environment, place: Place, newcomers: Sequence[Node]) -> None:
    """Add nodes, as C{clumptconf add} does, and lay their configuration out."""
    for groups in sorted({node.groups for node in newcomers}, key=sorted):
        same = [node for node in newcomers if node.groups == groups]
        addresses = {node.name: Address(place.net.peer(node.number), NOTIFY, UPDATE) for node in same}
        await add(env, Newcomers(addresses, groups), Delivery(place.nodes, unpacked=True))
    for node in newcomers:
        _add_lines(
            place.config_of(node.name),
            {
                "peer": {"listen": place.net.peer(node.number), "state": str(place.state_of(node.name))},
                "install": {"root": str(place.root_of(node.name))},
            },
        )


@deferred
async def start(env: Environment, interval: float = 0.0) -> None:
    """Bring the deployment into the directory; C{interval} in seconds, 0 for the usual one."""
    await publish(env)
    if interval:
        settings = await env.directory.settings()
        await env.directory.change_settings(evolve(settings, interval=interval))


def _add_lines(path: Path, sections: Mapping[str, Mapping[str, str]]) -> None:
    """What an administrator would write into a configuration by hand."""
    lines = path.read_text().splitlines()
    for section, values in sections.items():
        more = [f"{key} = {value}" for key, value in values.items()]
        head = f"[{section}]"
        if head in lines:
            at = lines.index(head) + 1
            lines[at:at] = more
        else:
            lines += ["", head, *more]
    aside = path.with_suffix(".new")
    aside.write_text("\n".join(lines) + "\n")
    os.replace(aside, path)
