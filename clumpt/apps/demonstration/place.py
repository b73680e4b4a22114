"""Where everything of a demonstration is: one temporary folder, and a part of the loopback."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from tempfile import gettempdir, mkdtemp

from attrs import frozen

from clumpt.apps.demonstration.loopback import LDAP, LDAPS, Net
from clumpt.errors import BadInput

#: How the names of the folders begin.
PREFIX = "clumpt-demo-"


@frozen
class Place:
    """The C{folder}, which nobody else may enter, and the addresses."""

    folder: Path
    net: Net

    @classmethod
    def make(cls, net: Net) -> Place:
        """A new one; raises L{BadInput} if there is no room."""
        try:
            return cls(Path(mkdtemp(prefix=PREFIX)).resolve(), net)
        except OSError as trouble:
            raise BadInput(f"no folder can be made in {gettempdir()}: {trouble.strerror}") from trouble

    @property
    def etc(self) -> Path:
        """What is in C{/etc} of the administrator's machine."""
        return self.folder / "admin"

    @property
    def config(self) -> Path:
        """The administrator's configuration."""
        return self.etc / "clumpt.ini"

    @property
    def tls(self) -> Path:
        """What the directory server shows and trusts."""
        return self.etc / "clumpt" / "directory"

    @property
    def packages(self) -> Path:
        """Packages that are made here."""
        return self.folder / "packages"

    @property
    def log(self) -> Path:
        """What is said on the way."""
        return self.folder / "log"

    @property
    def nodes(self) -> Path:
        """A folder for each node."""
        return self.folder / "nodes"

    def etc_of(self, name: str) -> Path:
        """What is in C{/etc} of a node."""
        return self.nodes / name

    def state_of(self, name: str) -> Path:
        """What is in C{/var/lib/clumpt} of a node."""
        return self.nodes / name / "state"

    def root_of(self, name: str) -> Path:
        """What a node installs into, instead of its C{/}."""
        return self.nodes / name / "root"

    @property
    def uris(self) -> tuple[str, ...]:
        """Where the directory is."""
        return (f"ldaps://{self.net.directory}:{LDAPS}",)

    @property
    def plain_port(self) -> int:
        """The port of StartTLS."""
        return LDAP

    def remove(self) -> None:
        """Leave nothing behind."""
        # Folders that packages made may not be writable to their owner.
        for folder, _, _ in os.walk(self.folder):
            os.chmod(folder, 0o700)
        shutil.rmtree(self.folder, ignore_errors=True)
