"""
The directory's words as values, read from C{clumpt.schema}.

That file is the one source: the embedded server checks entries by it, and
what OpenLDAP is given is made from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files

from attrs import frozen

from clumpt.errors import BadDocument

#: What C{clumptSchemaVersion} says in a directory made by this program.
VERSION = 1

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]*")
_TOKEN = re.compile(r"\s*('[^']*'|[()$]|[^\s()$']+)")
_FLAGS = frozenset({"SINGLE-VALUE", "STRUCTURAL", "AUXILIARY", "ABSTRACT"})


@frozen
class AttributeType:
    """
    What an attribute may hold and how its values are compared.

    @ivar definition: its description in the words of RFC 4512, OID macros left in.
    """

    names: tuple[str, ...]
    oid: str
    equality: str
    ordering: str
    substring: str
    syntax: str
    single: bool
    definition: str

    @property
    def name(self) -> str:
        """How it is written in answers."""
        return self.names[0]

    @property
    def described(self) -> str:
        """Its description with a numeric OID, as servers publish it."""
        return _with_oid(self.definition, self.oid)


@frozen
class ObjectClass:
    """What an entry of this class must and may hold."""

    name: str
    oid: str
    superior: str
    structural: bool
    must: frozenset[str]
    may: frozenset[str]
    definition: str

    @property
    def described(self) -> str:
        """Its description with a numeric OID, as servers publish it."""
        return _with_oid(self.definition, self.oid)


def _with_oid(definition: str, oid: str) -> str:
    """C{definition} without its OID macro."""
    _, _, rest = definition.partition("(")[2].strip().partition(" ")
    return f"( {oid} {rest}"


@frozen
class Schema:
    """
    All definitions, in the order of the file.

    @ivar macros: names for OIDs, as C{(name, oid)}.
    @ivar attributes: by lower-case name, every name of an attribute included.
    @ivar classes: by lower-case name.
    """

    macros: tuple[tuple[str, str], ...]
    attributes: Mapping[str, AttributeType]
    classes: Mapping[str, ObjectClass]

    def __or__(self, other: Schema) -> Schema:
        return Schema(
            self.macros + other.macros,
            {**self.attributes, **other.attributes},
            {**self.classes, **other.classes},
        )


def text(name: str = "clumpt.schema") -> str:
    """The schema file C{name} as it is shipped."""
    return files("clumpt.ldap").joinpath(name).read_text("ascii")


def load() -> Schema:
    """Everything that an entry of ours may use: the standard words and those of Clumpt."""
    return parse(text("core.schema")) | parse(text())


def parse(source: str) -> Schema:
    """
    Read the schema notation of OpenLDAP's slapd.conf (RFC 4512 descriptions, OID macros).

    Raises L{BadDocument}, naming the line, for anything that is not understood to the last word.
    """
    macros: dict[str, str] = {}
    attributes: dict[str, AttributeType] = {}
    classes: dict[str, ObjectClass] = {}
    for line, statement in _statements(source):
        keyword, _, rest = statement.partition(" ")
        try:
            match keyword.lower():
                case "objectidentifier":
                    name, oid = rest.split()
                    macros[name] = _oid(oid, macros)
                case "attributetype":
                    kind = _attribute(rest, macros)
                    attributes.update((name.lower(), kind) for name in kind.names)
                case "objectclass":
                    made = _class(rest, macros)
                    classes[made.name.lower()] = made
                case _:
                    raise ValueError(f"unknown keyword {keyword!r}")
        except (ValueError, KeyError) as wrong:
            raise BadDocument(f"schema, line {line}: {wrong}") from wrong
    return Schema(tuple(macros.items()), attributes, classes)


def _statements(source: str) -> Iterator[tuple[int, str]]:
    """The statements with the lines they begin at: continuation lines begin with white space."""
    begun, parts = 0, list[str]()
    for number, line in enumerate(source.splitlines(), 1):
        if line.startswith("#") or not line.strip():
            continue
        if not line[0].isspace():
            if parts:
                yield begun, " ".join(parts)
            begun, parts = number, []
        parts.append(line.strip())
    if parts:
        yield begun, " ".join(parts)


def _oid(word: str, macros: Mapping[str, str]) -> str:
    """The OID that C{word} (dotted numbers, or a macro with or without a suffix) stands for."""
    macro, _, suffix = word.partition(":")
    base = macro if re.fullmatch(r"[0-9]+(\.[0-9]+)+", macro) else macros[macro]
    return f"{base}.{suffix}" if suffix else base


def _tokens(description: str) -> list[str]:
    """The words of a description, without the parentheses around the whole."""
    tokens, place = list[str](), 0
    while place < len(description.rstrip()):
        found = _TOKEN.match(description, place)
        if found is None:
            raise ValueError(f"cannot read {description[place : place + 20]!r}")
        tokens.append(found[1])
        place = found.end()
    if len(tokens) < 3 or tokens[0] != "(" or tokens[-1] != ")":
        raise ValueError("a description stands in parentheses")
    return tokens[1:-1]


def _fields(description: str) -> tuple[str, dict[str, Sequence[str]]]:
    """The OID and the fields of a description, each with its values."""
    oid, *tokens = _tokens(description)
    fields: dict[str, Sequence[str]] = {}
    while tokens:
        key = tokens.pop(0)
        if key in fields:
            raise ValueError(f"{key} twice")
        fields[key] = () if key in _FLAGS else _values(tokens)
    return oid, fields


def _values(tokens: list[str]) -> Sequence[str]:
    """Take the value of a field from the front: one word, or words in parentheses."""
    if not tokens:
        raise ValueError("the last field has no value")
    first = tokens.pop(0)
    if first != "(":
        return (first.strip("'"),)
    end = tokens.index(")")
    inside, tokens[: end + 1] = tokens[:end], []
    return tuple(word.strip("'") for word in inside if word != "$")


def _names(words: Sequence[str]) -> tuple[str, ...]:
    if not words or not all(_WORD.fullmatch(word) for word in words):
        raise ValueError(f"not names: {' '.join(words)}")
    return tuple(words)


def _only(fields: dict[str, Sequence[str]], key: str, default: str | None = None) -> str:
    """Take the single value of a field that may be left out if there is a default."""
    if key not in fields and default is not None:
        return default
    (value,) = fields.pop(key)
    return value


def _attribute(description: str, macros: Mapping[str, str]) -> AttributeType:
    oid, fields = _fields(description)
    made = AttributeType(
        names=_names(fields.pop("NAME")),
        oid=_oid(oid, macros),
        equality=_only(fields, "EQUALITY", ""),
        ordering=_only(fields, "ORDERING", ""),
        substring=_only(fields, "SUBSTR", ""),
        syntax=_oid(_only(fields, "SYNTAX"), macros),
        single=fields.pop("SINGLE-VALUE", None) is not None,
        definition=description,
    )
    _nothing_left(fields)
    return made


def _class(description: str, macros: Mapping[str, str]) -> ObjectClass:
    oid, fields = _fields(description)
    (name,) = _names(fields.pop("NAME"))
    kinds = [kind for kind in ("STRUCTURAL", "AUXILIARY", "ABSTRACT") if fields.pop(kind, None) is not None]
    if len(kinds) != 1:
        raise ValueError(f"{name} must be one of STRUCTURAL, AUXILIARY and ABSTRACT")
    made = ObjectClass(
        name=name,
        oid=_oid(oid, macros),
        superior=_only(fields, "SUP", "top"),
        structural=kinds == ["STRUCTURAL"],
        must=frozenset(word.lower() for word in fields.pop("MUST", ())),
        may=frozenset(word.lower() for word in fields.pop("MAY", ())),
        definition=description,
    )
    _nothing_left(fields)
    return made


def _nothing_left(fields: dict[str, Sequence[str]]) -> None:
    fields.pop("DESC", None)
    if fields:
        raise ValueError(f"unknown field {next(iter(fields))}")
