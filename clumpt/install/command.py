"""
From a signed update to what is executed: words, environment and limits.

Nothing here is ever given to a shell.  The program is the node's own choice;
packages are absolute paths and words of their own, so that none can be taken
for an option; an update's further words must be among those its installer takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import field, frozen
from attrs.validators import ge, gt

from clumpt.install.managers import MANAGERS, PACKAGE, PACKAGES, TARGETS, WORDS, Manager
from clumpt.model import Action, Outcome, State, Update

#: The installer whose whole command line comes from the update (H3).
COMMAND = "command"

_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    # As when an administrator does it; Debian's rpm even keeps its database there.
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TERM": "dumb",
    # Nobody is there to answer.
    "DEBIAN_FRONTEND": "noninteractive",
    "DEBIAN_PRIORITY": "critical",
    "APT_LISTCHANGES_FRONTEND": "none",
    "APT_LISTBUGS_FRONTEND": "none",
    "NEEDRESTART_MODE": "l",
    "UCF_FORCE_CONFFOLD": "1",
    "PIP_CONFIG_FILE": "/dev/null",
}


@frozen
class Rules:
    """
    What this node allows to be run, and how.

    @ivar allowed: the names of the installers that may be used (H3).
    @ivar root: the absolute root of the system that is installed to.
    @ivar timeout: seconds that one run may take, unless the update says less.
    @ivar lock_timeout: seconds to wait for a package manager that is busy.
    @ivar programs: by installer, the absolute program and its first words, if not the usual ones.
    """

    allowed: frozenset[str]
    root: str = "/"
    timeout: float = field(default=3600.0, validator=gt(0))
    lock_timeout: float = field(default=600.0, validator=ge(0))
    programs: Mapping[str, tuple[str, ...]] = field(factory=dict)

    @property
    def private(self) -> bool:
        """Is it another root than the running system's?"""
        return self.root != "/"


@frozen
class Command:
    """
    What is executed for one update.

    @ivar manager: who runs it, None for a command of the update's own.
    @ivar runs: argument lists, run in this order until one fails.
    @ivar checks: argument lists that list the packages' contents, to be looked through before.
    @ivar repair: one argument list, to be run before if an earlier run was cut off; may be empty.
    @ivar dirty: the pattern of files, below the root, that show that it was.
    @ivar timeout: seconds for each run.
    """

    manager: Manager | None
    runs: tuple[tuple[str, ...], ...]
    environment: Mapping[str, str]
    timeout: float
    checks: tuple[tuple[str, ...], ...] = ()
    repair: tuple[str, ...] = ()
    dirty: str = ""

    @property
    def program(self) -> str:
        """The absolute path of the program."""
        return self.runs[0][0]


def command_for(update: Update, rules: Rules, packages: Sequence[str]) -> Command | Outcome:
    """
    What to execute for C{update} under C{rules}.

    @param packages: the absolute paths of the packages, in the order of the update.
    @return: the command, or the outcome that says why there is none: L{State.HELD} if the node's
        administrator could allow it, L{State.FAILED} if the update can never be carried out.
    """
    if any(not path.startswith("/") for path in packages):
        raise ValueError(f"package paths must be absolute: {packages}")
    if update.installer not in rules.allowed:
        allow = ", ".join(sorted(rules.allowed)) or "nothing"
        return _held(
            f"installer {update.installer} is not allowed on this node (allow = {allow} in [install])"
        )
    if update.packages and len(packages) != len(update.packages):
        return _held(f"damaged: {len(packages)} files for {len(update.packages)} packages")
    if update.action is Action.WITHDRAW:
        return _wrong("a withdrawal has nothing to run")
    if update.installer == COMMAND:
        return _free_command(update, rules, packages)
    manager = MANAGERS.get(update.installer)
    if manager is None:
        return _held(f"installer {update.installer} is not known to this version of Clumpt")
    return _managed(update, rules, manager, packages)


def environment_for(update: Update, rules: Rules) -> dict[str, str]:
    """The whole environment of a run: nothing of the daemon's own is passed on."""
    return {
        **_ENVIRONMENT,
        "ZYPP_LOCK_TIMEOUT": str(int(rules.lock_timeout)),
        "CLUMPT_SEQ": str(update.seq),
        "CLUMPT_ROOT": rules.root,
    }


def timeout_for(update: Update, rules: Rules) -> float:
    """Seconds that a run of C{update} may take: the lesser of its own limit and the node's."""
    return min(float(update.timeout), rules.timeout) if update.timeout else rules.timeout


def _held(reason: str) -> Outcome:
    return Outcome(State.HELD, reason=reason)


def _wrong(reason: str) -> Outcome:
    return Outcome(State.FAILED, reason=reason)


def _free_command(update: Update, rules: Rules, packages: Sequence[str]) -> Command | Outcome:
    if update.action is Action.REMOVE:
        return _wrong("a command cannot remove packages; submit the command that does as a run")
    if not update.argv or not update.argv[0].startswith("/"):
        return _wrong("the command must begin with the absolute path of a program")
    argv = _fill(update.argv, {PACKAGES: packages})
    return Command(None, (argv,), environment_for(update, rules), timeout_for(update, rules))


def _managed(update: Update, rules: Rules, manager: Manager, packages: Sequence[str]) -> Command | Outcome:
    mistake = _mistake(update, manager, packages)
    if mistake:
        return _wrong(mistake)
    removing = update.action is Action.REMOVE
    template = manager.words(removing, rules.private)
    if template is None:
        place = f"in the private root {rules.root}" if rules.private else "here"
        return _held(f"{manager.name} cannot {update.action.value} {place}")
    filled = {WORDS: update.argv, TARGETS: update.targets}
    program = rules.programs.get(manager.name, manager.program)
    install = (*program, *_settle(template, rules))
    check = (*program, *_settle(manager.check, rules)) if manager.check else ()
    return Command(
        manager,
        _per_package(install, filled, packages),
        environment_for(update, rules),
        timeout_for(update, rules),
        checks=_per_package(check, filled, packages) if check else (),
        repair=_repair(manager, rules),
        dirty=manager.dirty,
    )


def _mistake(update: Update, manager: Manager, packages: Sequence[str]) -> str:
    if update.action is Action.RUN:
        return f"{manager.name} installs and removes; a run needs the installer {COMMAND}"
    if update.action is Action.INSTALL and not packages:
        return "there is no package to install"
    if update.action is Action.REMOVE and not update.targets:
        return "there is no package named to remove"
    refused = [word for word in update.argv if not manager.takes.fullmatch(word)]
    return f"{manager.name} does not take {refused[0]!r} from an update" if refused else ""


def _repair(manager: Manager, rules: Rules) -> tuple[str, ...]:
    words = manager.repair_in if rules.private else manager.repair
    if not words:
        return ()
    program = rules.programs.get(manager.repaired_by, MANAGERS[manager.repaired_by].program)
    return (*program, *_settle(words, rules))


def _settle(words: Sequence[str], rules: Rules) -> tuple[str, ...]:
    """Fill in what is the node's: the root and the seconds to wait for a lock."""
    lock = str(int(rules.lock_timeout))
    return tuple(word.replace("{root}", rules.root).replace("{lock}", lock) for word in words)


def _per_package(
    words: Sequence[str], filled: Mapping[str, Sequence[str]], packages: Sequence[str]
) -> tuple[tuple[str, ...], ...]:
    if PACKAGE in words:
        return tuple(_fill(words, {**filled, PACKAGE: (package,)}) for package in packages)
    return (_fill(words, {**filled, PACKAGES: packages}),)


def _fill(words: Sequence[str], filled: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Put whole words in the place of the words that stand for them; no word is ever cut or joined."""
    return tuple(part for word in words for part in filled.get(word, (word,)))
