"""What an administrator wants done: an update that has no place in the table yet."""

from __future__ import annotations

from attrs import asdict, field, frozen

from clumpt.errors import BadInput
from clumpt.model import Action, GroupName, Interrupted, Package, PeerName, Seq, Update
from clumpt.pieces import Digest


@frozen
class Place:
    """
    Where in the table an update goes, and who says so.

    @ivar prev: the digest of the update before C{seq}.
    @ivar submit_id: names the act of submitting; the same however often it is tried (H5).
    @ivar issued: seconds since the epoch.
    """

    deployment: str
    seq: Seq
    prev: Digest
    submit_id: str
    issued: int


@frozen
class Order:
    """
    An update, but for its place in the table; the fields are those of L{Update}.

    It can be put into place again and again, until nobody else was faster (H5).
    """

    groups: frozenset[GroupName]
    action: Action
    installer: str
    packages: tuple[Package, ...] = ()
    argv: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    nodes: frozenset[PeerName] = field(default=frozenset())
    exclude: frozenset[PeerName] = field(default=frozenset())
    requires: tuple[Seq, ...] = ()
    withdraws: tuple[Seq, ...] = ()
    retries: Seq = 0
    interrupted: Interrupted = Interrupted.RERUN
    timeout: int = 0
    not_after: int = 0
    why: str = ""

    def at(self, place: Place) -> Update:
        """
        The update at C{place}.

        Raises L{BadInput} if a word in the order is none that an update can have, or if it speaks of an
        update that does not come before it.
        """
        for seq in (*self.requires, *self.withdraws, self.retries):
            if seq >= place.seq:
                raise BadInput(f"there is no update {seq} yet; the newest is {place.seq - 1}")
        try:
            return Update(**asdict(place, recurse=False), **asdict(self, recurse=False))
        except (TypeError, ValueError) as wrong:
            raise BadInput(f"this cannot be ordered: {_short(wrong)}") from wrong

    @property
    def size(self) -> int:
        """Bytes in all packages."""
        return sum(package.size for package in self.packages)


def again(update: Update, nodes: frozenset[PeerName], why: str) -> Order:
    """The order that tries C{update} again, on C{nodes} only."""
    return Order(
        groups=update.groups,
        action=update.action,
        installer=update.installer,
        packages=update.packages,
        argv=update.argv,
        targets=update.targets,
        nodes=nodes,
        requires=update.requires,
        retries=update.seq,
        interrupted=update.interrupted,
        timeout=update.timeout,
        why=why,
    )


def withdrawal(update: Update, why: str) -> Order:
    """The order that withdraws C{update}, for exactly those whom it concerns."""
    return Order(
        groups=update.groups,
        action=Action.WITHDRAW,
        installer=update.installer,
        nodes=update.nodes,
        exclude=update.exclude,
        withdraws=(update.seq,),
        why=why,
    )


def _short(wrong: Exception) -> str:
    # attrs adds the attribute and the value to the arguments of what it raises.
    return str(wrong.args[0]) if wrong.args else str(wrong)
