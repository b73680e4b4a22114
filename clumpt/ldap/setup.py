"""What a new directory needs before it can be used: the schema, and the first entries."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from clumpt.errors import DirectoryRefused
from clumpt.ldap import requests, schema
from clumpt.ldap.bootstrap import bootstrap
from clumpt.ldap.entries import Entries
from clumpt.ldap.results import ENTRY_EXISTS, SUCCESS
from clumpt.model import Settings

_ROOT = ""
_NAMES = re.compile(r"NAME\s+(?:'([^']+)'|\(([^)]*)\))")
_WORDS = re.compile(r"[A-Za-z][A-Za-z0-9-]*")


async def initialise(entries: Entries, settings: Settings) -> None:
    """Create the base with C{settings} and the branches, where they are missing."""
    for dn, attributes in bootstrap(entries.tree.base, b"", settings):
        add = requests.add(dn, attributes)
        code = await entries.write(add, f"creating {dn}", (SUCCESS, ENTRY_EXISTS))
        if code == ENTRY_EXISTS and dn == entries.tree.base:
            await _check_base(entries)


async def _check_base(entries: Entries) -> None:
    base = entries.tree.base
    found = await entries.read(base, ["objectClass"], entries.servers.writer)
    classes = {kind.lower() for kind in found.attributes.get("objectclass", ())} if found else set()
    if b"clumptdeployment" not in classes:
        raise DirectoryRefused(f"{base} exists and is not Clumpt's: choose a base that does not exist yet")


async def schema_problems(entries: Entries) -> Sequence[str]:
    """What the writer lacks of C{clumpt.schema}, one line each."""
    writer = entries.servers.writer
    root = await entries.read(_ROOT, ["subschemaSubentry"], writer)
    where = root.attributes.get("subschemasubentry") if root else None
    if not where:
        return ["the server does not tell which schema it has"]
    found = await entries.read(
        where[0].decode("utf-8", "replace"), ["attributeTypes", "objectClasses"], writer
    )
    if found is None:
        return ["the server does not let its schema be read"]
    return [
        *_missing_attributes(found.attributes.get("attributetypes", ())),
        *_missing_classes(found.attributes.get("objectclasses", ())),
    ]


def _by_name(definitions: Collection[bytes]) -> dict[str, str]:
    """Definitions as servers write them (RFC 4512), by each of their names in lower case."""
    named = {}
    for raw in definitions:
        text = raw.decode("utf-8", "replace")
        names = _NAMES.search(text)
        if names is not None:
            for name in (names[1] or names[2].replace("'", " ")).split():
                named[name.lower()] = text
    return named


def _missing_attributes(definitions: Collection[bytes]) -> Iterator[str]:
    there = _by_name(definitions)
    for name, wanted in schema.parse(schema.text()).attributes.items():
        if name not in there:
            yield f"attribute type {wanted.name} is missing"
        elif wanted.oid not in there[name].split():
            yield f"attribute type {wanted.name} is not Clumpt's: its OID is not {wanted.oid}"


def _missing_classes(definitions: Collection[bytes]) -> Iterator[str]:
    there, known = _by_name(definitions), schema.load().attributes
    for name, wanted in schema.parse(schema.text()).classes.items():
        if name not in there:
            yield f"object class {wanted.name} is missing"
            continue
        words = {word.lower() for word in _WORDS.findall(there[name])}
        lacking = sorted(known[each].name for each in wanted.must | wanted.may if each not in words)
        if lacking:
            yield f"object class {wanted.name} is older than this program: it lacks {', '.join(lacking)}"
