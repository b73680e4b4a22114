"""Reads the configuration: one file and its drop-ins, all mistakes at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from configparser import (
    ConfigParser,
    DuplicateOptionError,
    DuplicateSectionError,
    MissingSectionHeaderError,
    ParsingError,
)
from pathlib import Path
from socket import gethostname
from typing import Any

from attrs import define, evolve, field, frozen

from clumpt.config import SECTIONS, Config, Key, keys
from clumpt.errors import ConfigurationError
from clumpt.kinds import nearest
from clumpt.model import is_name

_HEADER = re.compile(r"\[(?P<section>[^]]+)\]")
_KEY = re.compile(r"(?P<key>[^=#;\s][^=]*?)\s*=")
#: A configuration is a page; whatever is larger is another file.
LARGEST = 1024 * 1024


def load(path: Path, hostname: Callable[[], str] = gethostname) -> Config:
    """
    The configuration in C{path} and, over it, in C{*.ini} of the folder with its name and C{.d}.

    @param hostname: gives the peer's name if the configuration does not.
    @raise ConfigurationError: with every mistake in every file.
    """
    reader = _Reader()
    for file in (path, *sorted(path.with_suffix(".d").glob("*.ini"))):
        reader.read(file)
    config = reader.config()
    if not config.peer.name:
        config = evolve(config, peer=evolve(config.peer, name=hostname()))
        config = evolve(config, origins={**config.origins, "peer.name": "host name"})
    mistakes = [*reader.mistakes, *(_contradictions(config) if not reader.mistakes else ())]
    if mistakes:
        raise ConfigurationError(*mistakes)
    return config


@frozen
class _Written:
    """A value as it stands in a file."""

    section: str
    key: str
    text: str
    origin: str
    folder: Path


@define
class _Reader:
    """Collects what several files say, the last one winning, and all that is wrong with them."""

    mistakes: list[str] = field(factory=list)
    _values: dict[str, dict[str, Any]] = field(factory=lambda: {section: {} for section in SECTIONS})
    _origins: dict[str, str] = field(factory=dict)

    def read(self, file: Path) -> None:
        """Take in one file."""
        try:
            with file.open("rb") as opened:
                raw = opened.read(LARGEST + 1)
            if len(raw) > LARGEST:
                raise ValueError
            text = raw.decode("utf-8")
        except OSError as wrong:
            self.mistakes.append(f"{file}: cannot be read: {wrong.strerror}")
        except ValueError:
            self.mistakes.append(f"{file}: is not a text file in UTF-8 of at most 1 MiB")
        else:
            self._parse(file, text)

    def config(self) -> Config:
        """What was read, over the defaults; what was wrong is left at its default."""
        made = {section: SECTIONS[section](**values) for section, values in self._values.items()}
        return Config(**made, origins=dict(self._origins))

    def _parse(self, file: Path, text: str) -> None:
        parser = ConfigParser(
            interpolation=None, delimiters=("=",), default_section="", empty_lines_in_values=False
        )
        try:
            parser.read_string(text)
        except (ParsingError, DuplicateSectionError, DuplicateOptionError) as wrong:
            self.mistakes += [f"{file}:{line}: {what}" for line, what in _syntax(wrong)]
            return
        lines = _lines(text)
        for section in parser.sections():
            if section not in SECTIONS:
                line = lines.get((section, ""), 0)
                self.mistakes.append(
                    f"{file}:{line}: unknown section [{section}]{nearest(section, SECTIONS)}"
                )
                continue
            for key, value in parser.items(section):
                origin = f"{file}:{lines.get((section, key), 0)}"
                self._take(_Written(section, key, value, origin, file.absolute().parent))

    def _take(self, written: _Written) -> None:
        known = {key.name: key for key in keys(written.section)}
        key = known.get(written.key)
        if key is None:
            hint = _hint(written)
            self.mistakes.append(f"{written.origin}: unknown key {written.key} in [{written.section}]{hint}")
            return
        try:
            self._values[key.section][key.name] = key.kind.parse(written.text, written.folder)
        except ValueError as wrong:
            self.mistakes.append(f"{written.origin}: {_must_be(key, written.text, wrong)}")
        else:
            self._origins[f"{key.section}.{key.name}"] = written.origin


def _hint(written: _Written) -> str:
    """Which key may have been meant: one of this section, or the same name in another one."""
    hint = nearest(written.key, [key.name for key in keys(written.section)])
    elsewhere = [name for name in SECTIONS if written.key in {key.name for key in keys(name)}]
    if not hint and elsewhere:
        return f" (it belongs in [{elsewhere[0]}])"
    return hint


def _must_be(key: Key, text: str, wrong: ValueError) -> str:
    # Our own parsers either say nothing or something better than the general text; int and float
    # raise a text of their own, which is about Python.
    own = str(wrong)
    what = own if own and not own.startswith(("invalid literal", "could not convert")) else key.kind.what
    return f"{key.name} must be {what}; it is {text!r}"


def _syntax(wrong: ParsingError | DuplicateSectionError | DuplicateOptionError) -> Iterator[tuple[int, str]]:
    """Line numbers of what is no INI file, with a plain word for each."""
    if isinstance(wrong, MissingSectionHeaderError):
        yield wrong.lineno, "a line before the first [section]"
    elif isinstance(wrong, DuplicateSectionError):
        yield wrong.lineno or 0, f"[{wrong.section}] stands twice in this file"
    elif isinstance(wrong, DuplicateOptionError):
        yield wrong.lineno or 0, f"{wrong.option} stands twice in [{wrong.section}]"
    else:
        for line, what in wrong.errors or [(0, str(wrong))]:
            yield line, f"neither a [section] nor key = value: {what}"


def _lines(text: str) -> dict[tuple[str, str], int]:
    """The line of each key, and of each section under the key C{""}; the parser does not tell."""
    found: dict[tuple[str, str], int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            section = header["section"]
            found.setdefault((section, ""), number)
        elif key := _KEY.match(line):
            found.setdefault((section, key["key"].lower()), number)
    return found


def _contradictions(config: Config) -> Iterator[str]:
    """What is wrong with values that are right one by one."""
    peer, directory = config.peer, config.directory
    if not is_name(peer.name):
        yield f"[peer] name: the host name {peer.name!r} cannot name a peer; set it"
    if peer.notify_port == peer.update_port != 0:
        yield f"[peer] notify_port and update_port are both {peer.notify_port}; they must differ"
    if not directory.uris:
        yield "[directory] uris must be set: the LDAP servers that keep the state"
    plain = [uri for uri in (*directory.uris, directory.writer) if uri.startswith("ldap:")]
    if plain and not directory.starttls and not directory.allow_plain:
        yield f"[directory] {plain[0]} without starttls is not encrypted; use ldaps://, or set starttls = yes"
    if directory.bind == "simple" and not (directory.bind_dn and directory.bind_password_file):
        yield "[directory] bind = simple needs bind_dn and bind_password_file"
