"""What is good and what is not in a deployment: pure judgement, each with the way to mend it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import StrEnum
from random import Random

from attrs import frozen
from cryptography import x509

from clumpt import expiry
from clumpt.apps.conf_env import Site
from clumpt.apps.nodes import fold
from clumpt.connectivity import bearing, degrees, strongly_connected, weak_points, within
from clumpt.errors import BadDocument, Untrusted
from clumpt.graph import members, wired
from clumpt.model import GroupName, Peer, PeerName, PeerStatus

#: Seconds that clocks may differ.
SKEW = 60.0
#: A peer that did not report for so many intervals is missing.
INTERVALS = 3
REWIRE = "clumptconf rewire"


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@frozen
class Finding:
    """
    One line of the report.

    @ivar mend: the command or the deed that mends it.
    """

    level: Level
    subject: str
    text: str
    mend: str = ""

    def __str__(self) -> str:
        line = f"{self.level.value:<5} {self.subject}: {self.text}"
        return f"{line} -> {self.mend}" if self.mend else line


def certificate(subject: str, found: x509.Certificate, now: float, mend: str) -> Finding:
    """Is a certificate good now, and for a while?"""
    begins, ends = found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()
    if now < begins:
        return Finding(Level.FAIL, subject, "not valid yet", "set this machine's clock")
    if now > ends:
        return Finding(Level.FAIL, subject, "it has expired", mend)
    level = Level.WARN if ends - now < expiry.SOON else Level.OK
    left = f"good for {(ends - now) / 86400:.0f} days"
    return Finding(level, subject, left, mend if level is Level.WARN else "")


def clock(statuses: Mapping[PeerName, PeerStatus], now: float) -> Iterator[Finding]:
    """Does anybody report from the future?"""
    ahead = [name for name, status in statuses.items() if status.seen > now + SKEW]
    if ahead:
        text = f"{fold(ahead)} reported later than it is here"
        yield Finding(Level.WARN, "clock", text, "set the clocks, here or there: use NTP")
    else:
        yield Finding(Level.OK, "clock", "nobody reports from the future")


def statements(site: Site) -> Iterator[Finding]:
    """Does the signed statement of each peer say what the directory says?"""
    bad: dict[str, list[PeerName]] = {}
    for peer in site.peers:
        try:
            member = site.keyring.member(peer.member)
        except (BadDocument, Untrusted) as wrong:
            bad.setdefault(f"no good statement ({wrong})", []).append(peer.name)
            continue
        if member.peer != peer.name:
            bad.setdefault(f"the statement is that of {member.peer}", []).append(peer.name)
        elif member.groups != peer.groups:
            bad.setdefault("the statement says other groups", []).append(peer.name)
    for why, names in bad.items():
        mend = f"clumptconf renew {fold(names)}"
        if why.endswith("other groups"):
            mend = f"clumptconf set-groups {fold(names)} GROUP,..."
        yield Finding(Level.FAIL, "statements", f"{fold(names)}: {why}", mend)
    if not bad:
        yield Finding(Level.OK, "statements", f"{len(site.peers)} are signed and good")


def certificates(statuses: Mapping[PeerName, PeerStatus], now: float) -> Iterator[Finding]:
    """Do the certificates of nodes end, by what these said of themselves?"""
    ends: dict[float, list[PeerName]] = {}
    for name, status in statuses.items():
        if (end := expiry.told(status.reason)) is not None:
            ends.setdefault(end, []).append(name)
    for end, names in sorted(ends.items()):
        left = f"{(end - now) / 86400:.0f} days"
        over = end < now
        text = f"those of {fold(names)} " + ("have ended" if over else f"are good for {left}")
        level = Level.FAIL if over else Level.WARN
        mend = f"clumptconf renew {fold(names)}, and unpack the new bundles there"
        yield Finding(level, "certificates", text, mend)
    if not ends:
        yield Finding(Level.OK, "certificates", "no node says that its own ends soon")


def states(site: Site, statuses: Mapping[PeerName, PeerStatus], now: float) -> Iterator[Finding]:
    """Has each node reported lately, and is it well?"""
    nodes = wired(site.peers)
    silent = [peer.name for peer in nodes if peer.name not in statuses]
    if silent:
        mend = "unpack their bundles and start clumptd there"
        yield Finding(Level.WARN, "peers", f"never reported: {fold(silent)}", mend)
    late = INTERVALS * site.settings.interval
    reported = [status for peer in nodes if (status := statuses.get(peer.name)) is not None]
    missing = [status.peer for status in reported if status.seen < now - late]
    if missing:
        text = f"not seen for {late:g} s: {fold(missing)}"
        yield Finding(Level.WARN, "peers", text, "look whether they are up, and clumptd runs there")
    said = list(_complaints(status for status in reported if status.peer not in missing))
    yield from said
    if not (silent or missing or said):
        yield Finding(Level.OK, "peers", f"{len(nodes)} reported within {late:g} s")


def _complaints(statuses: Iterable[PeerStatus]) -> Iterator[Finding]:
    """What nodes that report have to say of themselves, but for their certificates."""
    said: dict[tuple[Level, str], list[PeerName]] = {}
    for status in statuses:
        if status.state == "active" and status.reason and expiry.told(status.reason) is None:
            said.setdefault((Level.WARN, f"active, but: {status.reason}"), []).append(status.peer)
        elif status.state not in ("active", "stopped"):
            why = f"{status.state}: {status.reason or 'no reason given'}"
            said.setdefault((Level.FAIL, why), []).append(status.peer)
    for (level, why), names in sorted(said.items()):
        yield Finding(level, "peers", f"{fold(names)} {why}", f"clumptconf show {fold(names)}")


def graph(site: Site, random: Random) -> Iterator[Finding]:
    """Do the neighbour lists reach everybody, also after failures (R70, R74, H13)?"""
    peers = wired(site.peers)
    yield from _lists(site, peers)
    yield from _degrees(site, peers)
    for group, names in members(peers).items():
        yield _group(peers, group, names, random)


def _lists(site: Site, peers: Collection[Peer]) -> Iterator[Finding]:
    groups = {peer.name: peer.groups for peer in peers}
    strange = [
        peer.name
        for peer in peers
        if any(peer.groups.isdisjoint(groups.get(other, frozenset())) for other in peer.neighbours)
    ]
    if strange:
        text = f"neighbours that are gone or of no common group: {fold(strange)}"
        yield Finding(Level.WARN, "graph", text, REWIRE)
    for group, names in members(peers).items():
        there = set(names)
        lonely = [
            peer.name
            for peer in peers
            if group in peer.groups and len(there) > 1 and there.isdisjoint(peer.neighbours)
        ]
        if lonely:
            text = f"no neighbour of group {group}: {fold(lonely)}"
            yield Finding(Level.FAIL, "graph", text, REWIRE)


def _degrees(site: Site, peers: Collection[Peer]) -> Iterator[Finding]:
    if not peers:
        yield Finding(Level.WARN, "graph", "there are no nodes yet", "clumptconf add NODES -g GROUP")
        return
    known = degrees({peer.name: peer.neighbours for peer in peers})
    wanted, least = site.settings.neighbours, site.settings.known_by
    around = {peer.name: len(_around(peer, members(peers))) for peer in peers}
    few = [name for name, (by, _) in known.items() if by < min(least, around[name])]
    if few:
        text = f"known by fewer than M = {least}: {fold(few)}"
        yield Finding(Level.FAIL, "graph", text, REWIRE)
    short = [name for name, (_, knows) in known.items() if knows < min(wanted, around[name])]
    if short:
        yield Finding(Level.WARN, "graph", f"know fewer than N = {wanted}: {fold(short)}", REWIRE)
    many = [name for name, (_, knows) in known.items() if knows > wanted]
    if many:
        text = f"know more than N = {wanted}, for the sake of their groups: {fold(many)}"
        yield Finding(Level.OK, "graph", text)
    if not (few or short):
        least_known = min(by for by, _ in known.values())
        yield Finding(Level.OK, "graph", f"{len(known)} nodes, each known by at least {least_known}")


def _around(peer: Peer, groups: Mapping[GroupName, list[PeerName]]) -> set[PeerName]:
    return {name for group in peer.groups for name in groups[group]} - {peer.name}


def _group(peers: Collection[Peer], group: GroupName, names: list[PeerName], random: Random) -> Finding:
    subject = f"group {group}"
    if len(names) == 1:
        return Finding(Level.OK, subject, f"{names[0]} is alone in it, so nobody can help it")
    there = within(peers, group)
    if not strongly_connected(there):
        return Finding(Level.FAIL, subject, "not everybody is reached from everybody", REWIRE)
    if len(names) == 2:
        return Finding(Level.OK, subject, "2 nodes, which know each other")
    borne = bearing(there, random)
    if borne.failures == 0:
        weak = fold(weak_points(there)) if borne.exact else "somebody"
        text = f"{len(names)} nodes, but the failure of {weak} cuts others off until the next interval"
        return Finding(Level.WARN, subject, text, "clumptconf set N=... M=..., then clumptconf rewire")
    how = "bears" if borne.exact else "by samples, bears"
    return Finding(Level.OK, subject, f"{len(names)} nodes; {how} the failure of any {borne.failures}")
