"""Packages, checked once more and under the names that package managers want."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from clumpt.errors import Damaged
from clumpt.model import Package


def stage(packages: Sequence[Package], paths: Sequence[str], folder: Path) -> list[str]:
    """
    Put the packages into C{folder} under their own names, as managers want them.

    Each is opened once: what was hashed is what is staged, whatever happens to the path meanwhile.
    Raises L{Damaged} if one is not what was signed.
    """
    if len(packages) != len(paths):
        raise Damaged(f"{len(paths)} files for {len(packages)} packages")
    staged = []
    for package, path in zip(packages, paths, strict=True):
        target = folder / package.file
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            _check(package, descriptor)
            try:
                # With a directory descriptor, or the link itself would be linked (CPython's os.link).
                os.link(f"/proc/self/fd/{descriptor}", target, src_dir_fd=descriptor, follow_symlinks=True)
            except OSError:
                with target.open("xb") as copy:
                    shutil.copyfileobj(file, copy)
                with target.open("rb") as copy:
                    _check(package, copy.fileno())
        staged.append(str(target))
    return staged


def _check(package: Package, descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    if size != package.size:
        raise Damaged(f"{package.file} has {size} bytes instead of {package.size}")
    found = sha256()
    at = 0
    while data := os.pread(descriptor, 1024 * 1024, at):
        found.update(data)
        at += len(data)
    if found.hexdigest() != package.sha256:
        raise Damaged(f"{package.file} is not the package that was signed")
