"""What a new node is given: its configuration, certificate and key, and the root document it is to trust."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

from attrs import frozen

from clumpt.config import Config, keys
from clumpt.errors import BadInput
from clumpt.model import PeerName
from clumpt.trust.files import PRIVATE, PUBLIC, write

#: The ports of a node that says nothing else.
NOTIFY, UPDATE = 4417, 4418


@frozen
class File:
    """One file: its bytes and its mode."""

    data: bytes
    mode: int = PUBLIC


#: Files by their path below the folder of the configuration, usually C{/etc}.
Files = Mapping[str, File]


def ini(note: str, sections: Mapping[str, Mapping[str, str]]) -> bytes:
    """A configuration file with a C{note} on top."""
    lines = [f"# {line}" for line in note.splitlines()]
    for section, values in sections.items():
        lines += ["", f"[{section}]", *(f"{key} = {value}" for key, value in values.items())]
    return ("\n".join(lines) + "\n").encode()


def directory_section(config: Config) -> dict[str, str]:
    """How a node reaches the directory: as the administrator does, but by its certificate."""
    return {
        key.name: key.kind.write(value)
        for key in keys("directory")
        if (value := getattr(config.directory, key.name)) != key.default and not key.name.startswith("bind")
    }


def tls_section(name: str) -> dict[str, str]:
    """The certificates, beside the configuration file; the node's own are called C{name}."""
    return {
        "ca": "clumpt/tls/ca.pem",
        "certificate": f"clumpt/tls/{name}.pem",
        "key": f"clumpt/tls/{name}-key.pem",
    }


def node_files(
    config: Config,
    name: PeerName,
    ports: tuple[int, int],
    certificate: bytes,
    key: bytes | None,
    authority: bytes,
    root: bytes,
) -> Files:
    """
    Everything that the node C{name} needs below C{/etc}.

    @param ports: where it listens (notification, update).
    @param key: None if the node has it already.
    """
    listening = {"notify_port": ports[0], "update_port": ports[1]}
    default = {"notify_port": NOTIFY, "update_port": UPDATE}
    peer = {"name": str(name), **{k: str(v) for k, v in listening.items() if v != default[k]}}
    note = f"Clumpt on {name}, as clumptconf add wrote it; every key is explained in clumpt.ini(5)."
    text = ini(
        note,
        {
            "peer": peer,
            "directory": directory_section(config),
            "tls": tls_section("peer"),
            "trust": {"root": "clumpt/root.json"},
        },
    )
    private = {} if key is None else {"clumpt/tls/peer-key.pem": File(key, PRIVATE)}
    return {
        "clumpt.ini": File(text),
        "clumpt/root.json": File(root),
        "clumpt/tls/ca.pem": File(authority),
        "clumpt/tls/peer.pem": File(certificate),
        **private,
    }


def write_tar(files: Files, path: Path, now: float) -> None:
    """Pack C{files} into C{path}, which only its owner can read; one of the same name is replaced."""
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, file in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(file.data), file.mode, int(now)
            member.uname = member.gname = "root"
            tar.addfile(member, BytesIO(file.data))
    write(path, packed.getvalue(), PRIVATE, replace=True)


def write_folder(files: Files, folder: Path) -> None:
    """
    Lay out C{files} in C{folder}, in the place of those of the same names; raises L{BadInput}.

    They are not made durable one by one, which takes long: what power cuts away can be issued again.
    """
    for name, file in files.items():
        path = folder / name
        make_folder(path.parent)
        try:
            path.unlink(missing_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode)
            with open(handle, "wb") as opened:
                opened.write(file.data)
        except OSError as wrong:
            raise BadInput(f"cannot write {path}: {wrong.strerror}") from wrong


def make_folder(path: Path, mode: int = 0o755) -> None:
    """Make C{path} and the folders above it; does nothing if it is there.  Raises L{BadInput}."""
    try:
        path.mkdir(mode, parents=True, exist_ok=True)
    except OSError as wrong:
        raise BadInput(f"cannot make the folder {path}: {wrong.strerror}") from wrong
