"""The real installer keeps the contract, with a real dpkg and a real helper."""

from collections.abc import Sequence
from pathlib import Path

from twisted.internet.defer import Deferred

from clumpt.interfaces import IInstaller
from clumpt.model import Entry, Outcome
from clumpt.testing.contracts.installer import InstallerContract
from tests.installing import an_entry, an_update, package_of
from tests.live.debs import make_deb
from tests.live.installcase import InstallCase


class HelperContractTests(InstallerContract, InstallCase):
    """L{HelperInstaller} keeps the contract."""

    def make_installer(self, allowed: frozenset[str]) -> IInstaller:
        return self.installer(allowed=allowed)

    def make_entry(self, seq: int, fails: bool = False) -> tuple[Entry, Sequence[Path]]:
        path = self.folder / f"hello_{seq}.0_all.deb"
        if not path.exists():
            mark = f'echo x >> "$DPKG_ROOT/ran-{seq}"; exit {int(fails)}\n'
            make_deb(self.folder, version=f"{seq}.0", postinst=mark)
        return an_entry(an_update(seq=seq, packages=(package_of(path),))), [path]

    def effects(self, seq: int) -> int:
        mark = self.root / f"ran-{seq}"
        return len(mark.read_text().splitlines()) if mark.exists() else 0

    def ending(self, running: Deferred[Outcome]) -> Deferred[Outcome]:
        return running
