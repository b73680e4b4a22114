"""Small packages to install, made on the spot: for dpkg where it is there, else for tar."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path
from shutil import which

from clumpt.errors import BadInput
from clumpt.install.managers import MANAGERS

#: Seconds that dpkg-deb may take for one package.
_PATIENCE = 60.0
_DPKG_DEB = "/usr/bin/dpkg-deb"
_NOTE = "Installed by clumpt demo, from peer to peer.\n"


def make(folder: Path, name: str, version: str, data: bytes) -> Path:
    """
    A package with two files in the folder C{/opt/NAME}: a note, and C{data}.

    Raises L{BadInput} if neither dpkg nor tar is there, or the package cannot be made.
    """
    if which(_DPKG_DEB) and which(MANAGERS["dpkg"].program[0]):
        return _deb(folder, name, version, data)
    if which(MANAGERS["tar"].program[0]):
        return tar(folder, name, version, data)
    raise BadInput("neither dpkg nor tar is installed here: give package files, clumpt demo FILE...")


def _deb(folder: Path, name: str, version: str, data: bytes) -> Path:
    tree = folder / f"{name}-{version}"
    content = tree / "opt" / name
    (tree / "DEBIAN").mkdir(parents=True)
    content.mkdir(parents=True)
    (content / "data").write_bytes(data)
    (content / "README").write_text(_NOTE)
    control = {
        "Package": name,
        "Version": version,
        "Architecture": "all",
        "Maintainer": "Clumpt <nobody@example.org>",
        "Description": "shows how Clumpt installs",
    }
    (tree / "DEBIAN/control").write_text("".join(f"{key}: {value}\n" for key, value in control.items()))
    deb = folder / f"{name}_{version}_all.deb"
    words = [_DPKG_DEB, "--root-owner-group", "-Znone", "--build", str(tree), str(deb)]
    try:
        subprocess.run(words, check=True, capture_output=True, timeout=_PATIENCE)
    except subprocess.SubprocessError as wrong:
        raise BadInput(f"{_DPKG_DEB} cannot make a package in {folder}: {wrong}") from wrong
    return deb


def tar(folder: Path, name: str, version: str, data: bytes) -> Path:
    """The same for tar, whether it is there or not."""
    path = folder / f"{name}-{version}.tar"
    with tarfile.open(path, "w") as archive:
        for file, content in (("data", data), ("README", _NOTE.encode())):
            member = tarfile.TarInfo(f"opt/{name}/{file}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path
