"""The packages of a simulated cluster, and a way to them by magic: no wires, no submitter."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from clumpt.errors import ClumptError
from clumpt.model import Entry, Package
from clumpt.pieces import Pieces, digest_of, piece_size
from clumpt.testing.machine import Machine
from clumpt.testing.submitter import SUBMITTER

if TYPE_CHECKING:
    from clumpt.testing.cluster import Cluster

__all__ = ["give", "package"]


def package(cluster: Cluster, size: int, name: str | None) -> Package:
    """A new package of C{size} random bytes, which the cluster remembers."""
    data = cluster.world.random.randbytes(size)
    cut = piece_size(size)
    hashes = b"".join(bytes.fromhex(digest_of(data[at : at + cut])) for at in range(0, size, cut))
    digest = digest_of(data)
    cluster.contents[digest] = data
    name = name or f"package{len(cluster.contents)}"
    return Package(name, "1.0", "all", f"{name}_1.0_all.deb", digest, Pieces(size, cut, digest_of(hashes)))


def give(cluster: Cluster, entry: Entry, names: Collection[str] | None) -> bool:
    """See L{clumpt.testing.cluster.Cluster.give}."""
    able = [m for m in cluster.up if m.agent.roster.groups and not m.removed]
    able = [m for m in able if entry.update.concerns(m.name, m.groups)]
    if names is None:
        chosen = cluster.world.random.sample(able, min(len(able), max(1, len(able) // 5)))
    else:
        chosen = [machine for machine in able if machine.name in names]
    return any([_hand(cluster, machine, entry) for machine in chosen])


def _hand(cluster: Cluster, machine: Machine, entry: Entry) -> bool:
    try:
        for package in entry.update.packages:
            _put(cluster, machine, package)
    except ClumptError as trouble:
        cluster.world.note("not given", machine.name, trouble)
        return False
    machine.agent.take([entry.envelope], SUBMITTER)
    return True


def _put(cluster: Cluster, machine: Machine, package: Package) -> None:
    repository = machine.agent.repository
    data, pieces = cluster.contents[package.sha256], package.pieces
    if repository.holds(package.sha256) and cluster.wait(repository.check(package.sha256)):
        return
    assembly = repository.assemble(package)
    if assembly.needs_hashes():
        cut = [data[pieces.offset(i) :][: pieces.length(i)] for i in range(pieces.count)]
        assembly.put_hashes(b"".join(bytes.fromhex(digest_of(piece)) for piece in cut))
    for index in range(pieces.count):
        assembly.put(index, data[pieces.offset(index) :][: pieces.length(index)])
    cluster.wait(assembly.finish())
