"""C{clumpt install} and C{clumpt remove} (R57, R58)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.python.usage import UsageError

from clumpt.aio import deferred
from clumpt.apps.desk import Desk
from clumpt.apps.nodes import expand
from clumpt.apps.submitting import make_plan
from clumpt.apps.verbs.ordering import OrderOptions, carry_out
from clumpt.apps.verbs.words import group_names, seconds, wholes
from clumpt.config import INSTALLERS
from clumpt.errors import BadInput
from clumpt.idset import IdSet
from clumpt.install.command import COMMAND
from clumpt.install.managers import MANAGERS
from clumpt.install.packages import Metadata, any_file, read_package
from clumpt.kinds import nearest
from clumpt.model import PACKAGE_WORD, Action, GroupName, Interrupted, Package, PeerName
from clumpt.order import Order
from clumpt.pieces import Digest, piece_size
from clumpt.store.offered import Offered

#: Who can install what the first of them can.
READERS = {"dpkg": ("dpkg", "apt"), "rpm": ("rpm", "dnf", "zypper")}
#: Updates that are searched for what installed a package that is to be removed.
MOST_SEARCHED = 1000


class TargetOptions(OrderOptions):
    """The options that say for whom an order is, and how it is to be carried out."""

    optParameters: list[list[Any]] = [
        ["nodes", "w", None, "Only these nodes of the groups, such as node[01-20]."],
        ["exclude", "x", None, "Not these nodes."],
        ["with", None, None, "The installer: dpkg, apt, rpm, dnf, zypper, pip, tar or command."],
        ["requires", None, None, "Updates that must have succeeded first, such as 12,15.", wholes],
        ["run-timeout", None, None, "How long one run may take on a node.", seconds],
        ["not-after", None, None, "Nodes that get to it later than this from now skip it.", seconds],
        ["interrupted", None, "rerun", "If power fails inside the run: rerun it, or hold it."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self.groups: frozenset[GroupName] = frozenset()

    def opt_group(self, names: str) -> None:
        """The groups it is for, between commas; may be given more than once."""
        self.groups |= group_names(names)

    opt_g = opt_group

    def postOptions(self) -> None:
        """Check the words, and read the configuration."""
        if not self.groups:
            raise UsageError("say for which groups it is: -g GROUP[,GROUP]")
        if self["with"] and self["with"] not in (*INSTALLERS, COMMAND):
            raise UsageError(f"{self['with']} is no installer{nearest(self['with'], (*INSTALLERS, COMMAND))}")
        if self["interrupted"] not in list(Interrupted):
            raise UsageError(f"--interrupted is rerun or hold, not {self['interrupted']}")
        super().postOptions()

    def takes_rest(self) -> bool:
        """Words after C{--} are the command, or more words for the installer."""
        return True

    @deferred
    async def order(self, desk: Desk, action: Action, installer: str, **fields: Any) -> Order:
        """The order that these options describe; fails with L{BadInput}."""
        argv = self.rest or ()
        check_words(installer, argv)
        peers = await desk.directory.peers() if self["nodes"] or self["exclude"] else []
        not_after = int(desk.wall() + self["not-after"]) if self["not-after"] else 0

        def named(text: str | None) -> frozenset[PeerName]:
            return frozenset(expand(text, peers)) if text else frozenset()

        return Order(
            groups=self.groups,
            action=action,
            installer=installer,
            argv=argv,
            nodes=named(self["nodes"]),
            exclude=named(self["exclude"]),
            requires=self["requires"] or (),
            interrupted=Interrupted(self["interrupted"]),
            timeout=int(self["run-timeout"] or 0),
            not_after=not_after,
            why=self["why"] or "",
            **fields,
        )


def check_words(installer: str, words: Sequence[str]) -> None:
    """Raise L{BadInput} if no peer would give C{words} to C{installer}."""
    if installer == COMMAND:
        if not words or not words[0].startswith("/"):
            raise BadInput("--with command needs the command, with the full path of its program, after --")
        return
    refused = [word for word in words if not MANAGERS[installer].takes.fullmatch(word)]
    if refused:
        raise BadInput(f"{installer} does not take {refused[0]!r} from an update")


class InstallOptions(TargetOptions):
    """C{clumpt install FILE... -g GROUP}: the default verb."""

    synopsis = "[install] FILE... -g GROUP[,GROUP] [options] [-- WORD...]"
    longdesc = "Install packages on the nodes of groups; several files are one transaction."

    def parseArgs(self, *files: str) -> None:
        """Take the files."""
        self.files = [Path(file) for file in files]

    def postOptions(self) -> None:
        """Check the words, and read the configuration."""
        if not self.files and self["with"] != COMMAND:
            raise UsageError("name the package files, or a command: --with command -- /path/of/program ...")
        super().postOptions()

    def act(self, desk: Desk) -> Deferred[int]:
        """Install."""
        return install(desk, self)


@deferred
async def install(desk: Desk, options: InstallOptions) -> int:
    """Order what C{options} say, and carry it out; fires with the exit status."""
    found: list[Metadata] = [
        await desk.in_thread(any_file if options["with"] == COMMAND else read_package, file)
        for file in options.files
    ]
    installer = options["with"] or common_installer(options.files, found)
    check_formats(installer, options.files, found)
    offered = Offered()
    try:
        packages = await offer(desk, offered, options.files, found)
        action = Action.INSTALL if packages else Action.RUN
        order = await options.order(desk, action, installer, packages=packages)
        plan = await make_plan(desk, order, options["initial"] or 0)
        # For how many it is is known only now: for very many it is cut smaller.
        peers = len(plan.targets)
        if any(piece_size(package.size, peers) != package.pieces.size for package in packages):
            packages = await offer(desk, offered, options.files, found, peers)
            plan = evolve(plan, order=evolve(order, packages=packages))
        return await carry_out(desk, options, plan, offered)
    finally:
        offered.withdraw()


def common_installer(files: Sequence[Path], found: Sequence[Metadata]) -> str:
    """The installer for all of these; raises L{BadInput} if they need different ones."""
    named = {metadata.installer: file for file, metadata in zip(files, found, strict=True)}
    if len(named) > 1:
        (one, first), (other, second), *_ = sorted(named.items())
        raise BadInput(
            f"{first.name} is for {one} and {second.name} for {other}: submit them one by one, or say --with"
        )
    return next(iter(named))


def check_formats(installer: str, files: Sequence[Path], found: Sequence[Metadata]) -> None:
    """Raise L{BadInput} if C{installer} cannot read one of these."""
    for file, metadata in zip(files, found, strict=True):
        if installer not in READERS.get(metadata.installer, (metadata.installer,)):
            fitting = " or ".join(READERS.get(metadata.installer, (metadata.installer,)))
            raise BadInput(f"{file.name} cannot be installed with {installer}; say --with {fitting}")


@deferred
async def offer(
    desk: Desk, offered: Offered, files: Sequence[Path], found: Sequence[Metadata], peers: int = 0
) -> tuple[Package, ...]:
    """Measure C{files} and offer them, to so many peers; fires with the packages in their order."""
    packages: dict[Digest, Package] = {}
    for file, metadata in zip(files, found, strict=True):
        digest, pieces = await desk.in_thread(offered.offer, file, partial(piece_size, peers=peers))
        if digest in packages:
            raise BadInput(f"{file} is the same as {packages[digest].file}; name it once")
        packages[digest] = Package(metadata.name, metadata.version, metadata.arch, file.name, digest, pieces)
    return tuple(packages.values())


class RemoveOptions(TargetOptions):
    """C{clumpt remove NAME... -g GROUP}."""

    synopsis = "remove NAME... -g GROUP[,GROUP] [options] [-- WORD...]"
    longdesc = "Remove packages from the nodes of groups, with what installed them."

    def parseArgs(self, *names: str) -> None:
        """Take the names."""
        for name in names:
            if not PACKAGE_WORD.fullmatch(name):
                raise UsageError(f"{name!r} cannot be the name of a package")
        if not names:
            raise UsageError("name the packages to remove")
        self.names = tuple(dict.fromkeys(names))

    def postOptions(self) -> None:
        """Check the words, and read the configuration."""
        if self["with"] == COMMAND:
            raise UsageError("a command removes nothing by name; submit one with install --with command")
        super().postOptions()

    def act(self, desk: Desk) -> Deferred[int]:
        """Remove."""
        return remove(desk, self)


@deferred
async def remove(desk: Desk, options: RemoveOptions) -> int:
    """Order the removal that C{options} say, and carry it out; fires with the exit status."""
    installer = options["with"] or await installed_with(desk, options.names, options.groups)
    order = await options.order(desk, Action.REMOVE, installer, targets=options.names)
    return await carry_out(desk, options, await make_plan(desk, order, options["initial"] or 0), Offered())


@deferred
async def installed_with(desk: Desk, names: Sequence[str], groups: frozenset[GroupName]) -> str:
    """What installed all of C{names}, last; fails with L{BadInput} if that is not known or not one."""
    head = await desk.directory.head()
    first = max(1, head - MOST_SEARCHED + 1)
    known = await desk.entries(IdSet([(first, head)]) if head else IdSet())
    installers: dict[str, str] = {}
    for entry in known.values():
        update = entry.update
        if update.action is Action.INSTALL and not update.groups.isdisjoint(groups):
            installers.update({package.name: update.installer for package in update.packages})
    used = {installers.get(name, "") for name in names}
    if len(used) != 1 or used & {"", COMMAND}:
        raise BadInput(f"it is not known what installed {', '.join(names)} there: say --with dpkg or another")
    return used.pop()
