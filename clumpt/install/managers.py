"""
The package managers that Clumpt can run, as data: their words, how they say
that they are busy, and how what they left half done is repaired.

The signed digest of a package is what vouches for it, so that managers with
key checks of their own are told to take local files without a signature.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from attrs import frozen

#: Stands for all package files, each a word of its own.
PACKAGES = "{packages}"
#: Stands for one package file; the command is then run once for each.
PACKAGE = "{package}"
#: Stands for the names of the packages to remove.
TARGETS = "{targets}"
#: Stands for the further words of the update.
WORDS = "{words}"

_NEVER = re.compile(r"(?!)")
#: A manager that printed this was not stopped by a lock, whatever its scripts say.
_BEGUN = re.compile(r"^(Preparing to unpack|Unpacking|Setting up|Removing) ", re.MULTILINE)
_COMPLAINT = re.compile(r"\b(error|failed|cannot|could not|unable)\b|^E: ", re.IGNORECASE)
_LONGEST = 200


class Verdict(StrEnum):
    """How a run ended, seen from its exit status and what it printed."""

    DONE = "done"
    FAILED = "failed"
    #: Somebody else holds the package manager's lock; nothing was changed.
    LOCKED = "locked"


@frozen
class Manager:
    """
    One installer.

    The command lines are words in which C{{root}} and C{{lock}} (seconds) are filled in; None means that
    the installer cannot do it.

    @ivar program: the absolute program and its first words, unless the node names another.
    @ivar install: after the program, to install packages into the running system.
    @ivar install_in: the same into a private root, without being root where the program can.
    @ivar takes: the words that an update may add: none that would run something else.
    @ivar locked: what it prints when it found its lock taken.
    @ivar locked_codes: the exit statuses that go with it.
    @ivar fine: the exit statuses of success.
    @ivar repair: run by C{repaired_by} first, if anything under the root matches C{dirty}.
    @ivar check: lists the contents of a package; a line that matches C{refuses} stops the install.
    """

    name: str
    program: tuple[str, ...]
    install: tuple[str, ...]
    remove: tuple[str, ...] | None = None
    install_in: tuple[str, ...] | None = None
    remove_in: tuple[str, ...] | None = None
    takes: re.Pattern[str] = _NEVER
    locked: re.Pattern[str] = _NEVER
    locked_codes: frozenset[int] = frozenset()
    fine: frozenset[int] = frozenset({0})
    repaired_by: str = ""
    repair: tuple[str, ...] = ()
    repair_in: tuple[str, ...] = ()
    dirty: str = ""
    check: tuple[str, ...] = ()
    refuses: re.Pattern[bytes] | None = None

    def words(self, removing: bool, private: bool) -> tuple[str, ...] | None:
        """The command line for this purpose, None if the installer cannot do it."""
        if removing:
            return self.remove_in if private else self.remove
        return self.install_in if private else self.install

    def classify(self, code: int, output: str) -> Verdict:
        """How a run ended that printed C{output} (its end, if it was long) and ended with C{code}."""
        if code in self.fine:
            return Verdict.DONE
        if code in self.locked_codes and self.locked.search(output) and not _BEGUN.search(output):
            return Verdict.LOCKED
        return Verdict.FAILED


# The files that an administrator has changed stay as they are, and nobody is asked (dpkg(1)).
_DPKG = ("--force-confold", "--force-confdef")
# Without chroot and without root: scripts are given DPKG_ROOT instead.
_DPKG_IN = ("--root={root}", "--log={root}/dpkg.log", "--force-not-root", "--force-script-chrootless")
_APT = (
    "--yes",
    "--quiet",
    "--option=DPkg::Lock::Timeout={lock}",
    "--option=DPkg::Options::=--force-confold",
    "--option=DPkg::Options::=--force-confdef",
    "--allow-downgrades",
)
_PIP = ("--no-input", "--disable-pip-version-check")
_PIP_INSTALL = ("install", "--no-index", "--no-deps", "--no-cache-dir", "--upgrade")
_RPM_INSTALL = ("--upgrade", "--replacepkgs", "--oldpackage")
_DNF = ("--assumeyes", "--setopt=exit_on_lock=True")
_ZYPPER_INSTALL = ("install", "--allow-unsigned-rpm", "--oldpackage")
# Directories and links to directories that are there already (/, /lib) stay as they are.
_TAR = (
    "--extract",
    "--force-local",
    "--no-same-owner",
    "--no-overwrite-dir",
    "--keep-directory-symlink",
    "--directory={root}",
    WORDS,
    "--file",
    PACKAGE,
)
_UPDATES = "var/lib/dpkg/updates/[0-9]*"

_ALL = (
    Manager(
        name="dpkg",
        program=("/usr/bin/dpkg",),
        install=(*_DPKG, "--install", WORDS, PACKAGES),
        remove=(*_DPKG, "--remove", WORDS, TARGETS),
        install_in=(*_DPKG, *_DPKG_IN, "--install", WORDS, PACKAGES),
        remove_in=(*_DPKG, *_DPKG_IN, "--remove", WORDS, TARGETS),
        takes=re.compile(
            r"--(force|refuse|no-force)-(?!script-chrootless|not-root)[a-z-]+|--skip-same-version"
        ),
        locked=re.compile(r"lock was locked by another process|unable to (access|lock) dpkg"),
        locked_codes=frozenset({2}),
        repaired_by="dpkg",
        repair=(*_DPKG, "--configure", "-a"),
        repair_in=(*_DPKG, *_DPKG_IN, "--configure", "-a"),
        dirty=_UPDATES,
    ),
    Manager(
        name="apt",
        program=("/usr/bin/apt-get",),
        install=(*_APT, "install", WORDS, PACKAGES),
        remove=(*_APT, "remove", WORDS, TARGETS),
        takes=re.compile(
            r"--(no-install-recommends|install-recommends|no-remove|purge|reinstall|fix-broken)"
        ),
        locked=re.compile(r"Could not get lock|Unable to (acquire|lock) "),
        locked_codes=frozenset({100}),
        repaired_by="dpkg",
        repair=(*_DPKG, "--configure", "-a"),
        dirty=_UPDATES,
    ),
    Manager(
        name="rpm",
        program=("/usr/bin/rpm",),
        install=(*_RPM_INSTALL, WORDS, PACKAGES),
        remove=("--erase", WORDS, TARGETS),
        install_in=("--root={root}", *_RPM_INSTALL, WORDS, PACKAGES),
        remove_in=("--root={root}", "--erase", WORDS, TARGETS),
        takes=re.compile(r"--(nodeps|force|noscripts|replacefiles|excludedocs|nosignature)"),
        locked=re.compile(r"transaction lock"),
        locked_codes=frozenset({1}),
    ),
    Manager(
        name="dnf",
        program=("/usr/bin/dnf",),
        install=(*_DNF, "install", WORDS, PACKAGES),
        remove=(*_DNF, "remove", WORDS, TARGETS),
        install_in=("--installroot={root}", *_DNF, "install", WORDS, PACKAGES),
        remove_in=("--installroot={root}", *_DNF, "remove", WORDS, TARGETS),
        takes=re.compile(r"--(allowerasing|best|nobest|skip-broken|nogpgcheck|noautoremove)"),
        locked=re.compile(r"already locked by|transaction lock|[Ww]aiting for process"),
        locked_codes=frozenset({1, 200}),
    ),
    Manager(
        name="zypper",
        program=("/usr/bin/zypper",),
        install=("--non-interactive", *_ZYPPER_INSTALL, WORDS, PACKAGES),
        remove=("--non-interactive", "remove", WORDS, TARGETS),
        install_in=("--root={root}", "--non-interactive", *_ZYPPER_INSTALL, WORDS, PACKAGES),
        remove_in=("--root={root}", "--non-interactive", "remove", WORDS, TARGETS),
        takes=re.compile(r"--(force|force-resolution|no-recommends|recommends|auto-agree-with-licenses)"),
        locked=re.compile(r""),
        locked_codes=frozenset({7}),
        # 102: done, a reboot is needed; 103: done, the package manager itself was replaced.
        fine=frozenset({0, 102, 103}),
    ),
    Manager(
        name="pip",
        program=("/usr/bin/python3", "-m", "pip"),
        install=(*_PIP, *_PIP_INSTALL, WORDS, PACKAGES),
        remove=(*_PIP, "uninstall", "--yes", WORDS, TARGETS),
        install_in=(*_PIP, *_PIP_INSTALL, "--target={root}", WORDS, PACKAGES),
        takes=re.compile(r"--(force-reinstall|ignore-installed|no-compile|break-system-packages)"),
    ),
    Manager(
        name="tar",
        program=("/usr/bin/tar",),
        install=_TAR,
        install_in=_TAR,
        takes=re.compile(r"--strip-components=[0-9]|--keep-old-files|--skip-old-files|--same-owner"),
        # Quoting keeps a line feed in a name from hiding what follows it.
        check=("--list", "--absolute-names", "--force-local", "--quoting-style=escape", "--file", PACKAGE),
        refuses=re.compile(rb"/.*|(.*/)?\.\.(/.*)?"),
    ),
)

#: The installers by name; C{"command"} is not one of them: it has no words of its own.
MANAGERS: Mapping[str, Manager] = {manager.name: manager for manager in _ALL}


def short_reason(output: str) -> str:
    """The line of C{output} that tells an operator most, at most 200 printable characters."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    complaints = [line for line in lines if _COMPLAINT.search(line)]
    chosen = complaints[0] if complaints else lines[-1] if lines else ""
    return "".join(letter if letter.isprintable() else "?" for letter in chosen)[:_LONGEST]
