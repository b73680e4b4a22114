"""Entries: made, changed and checked; nothing here remembers them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve, frozen

from clumpt.ldap import dn
from clumpt.ldap.embedded.matching import Dn, Key, Matching
from clumpt.ldap.embedded.requests import Change
from clumpt.ldap.embedded.results import Code, Refused
from clumpt.ldap.schema import AttributeType, ObjectClass

_ADD, _DELETE, _REPLACE, _INCREMENT = range(4)


@frozen(eq=False)
class Attribute:
    """An attribute with its values, by what they mean."""

    kind: AttributeType
    values: Mapping[Key, bytes]


#: By lower-case name.
Attributes = Mapping[str, Attribute]


@frozen(eq=False)
class Stored:
    """
    An entry; a change makes a new one.

    @ivar number: rises from entry to entry in the order in which they were added.
    @ivar text: its name as it was given.
    """

    number: int
    dn: Dn
    text: str
    attributes: Attributes


def build(matching: Matching, pairs: Iterable[tuple[bytes, Sequence[bytes]]]) -> Attributes:
    """The attributes of a new entry; refused if one is unknown, malformed or twice there."""
    made: dict[str, Attribute] = {}
    for raw, values in pairs:
        kind = matching.kind(raw.decode("utf-8", "replace"))
        if not values:
            raise Refused(Code.PROTOCOL_ERROR, f"{kind.name}: no values given")
        if kind.name.lower() in made:
            raise Refused(Code.VALUE_EXISTS, f"{kind.name}: provided more than once")
        made[kind.name.lower()] = Attribute(kind, _keyed(matching, kind, values))
    return made


def named(matching: Matching, name: Dn, text: str, attributes: Attributes) -> Attributes:
    """C{attributes} and the one that the entry is named by, which may be left out."""
    kind, _ = matching.naming(name)
    if kind.name.lower() in attributes:
        return attributes
    given = dn.parse(text)[0][1].encode()
    return {kind.name.lower(): Attribute(kind, _keyed(matching, kind, [given])), **attributes}


def _keyed(matching: Matching, kind: AttributeType, values: Sequence[bytes]) -> dict[Key, bytes]:
    """C{values} by what they mean; refused if two mean the same, or there are too many."""
    keyed = {matching.key(kind, value): value for value in values}
    if len(keyed) < len(values):
        raise Refused(Code.VALUE_EXISTS, f"{kind.name}: a value provided more than once")
    if kind.single and len(keyed) > 1:
        raise Refused(Code.CONSTRAINT, f"{kind.name}: multiple values provided")
    return keyed


def prepared(matching: Matching, changes: Iterable[Change]) -> list[tuple[Change, Attribute]]:
    """The changes with what they name; refused if one cannot be made to any entry."""
    ready = []
    for change in changes:
        kind = matching.kind(change.name.decode("utf-8", "replace"))
        if not _ADD <= change.kind <= _INCREMENT:
            raise Refused(Code.PROTOCOL_ERROR, "unrecognized modify operation")
        if change.kind in (_ADD, _INCREMENT) and not change.values:
            raise Refused(Code.PROTOCOL_ERROR, f"{kind.name}: no values given")
        if change.kind == _INCREMENT:
            _check_increment(kind, change)
        ready.append((change, Attribute(kind, _keyed(matching, kind, change.values))))
    return ready


def _check_increment(kind: AttributeType, change: Change) -> None:
    if len(change.values) > 1:
        raise Refused(Code.PROTOCOL_ERROR, f"{kind.name}: more than one increment")
    if kind.equality != "integerMatch":
        raise Refused(Code.CONSTRAINT, f"modify/increment: {kind.name}: not a number")


def changed(attributes: Attributes, changes: Iterable[tuple[Change, Attribute]]) -> Attributes:
    """The attributes after all C{changes}; refused if one of them cannot be made."""
    new = dict(attributes)
    for change, given in changes:
        name = given.kind.name.lower()
        before = new.get(name, Attribute(given.kind, {}))
        values = _STEPS[change.kind](before, given)
        if values:
            new[name] = evolve(before, values=values)
        else:
            new.pop(name, None)
    return new


def _added(before: Attribute, given: Attribute) -> Mapping[Key, bytes]:
    if not before.values.keys().isdisjoint(given.values):
        raise Refused(Code.VALUE_EXISTS, f"modify/add: {given.kind.name}: a value exists already")
    return {**before.values, **given.values}


def _deleted(before: Attribute, given: Attribute) -> Mapping[Key, bytes]:
    if not before.values:
        raise Refused(Code.NO_SUCH_ATTRIBUTE, f"modify/delete: {given.kind.name}: no such attribute")
    if not given.values:
        return {}
    if not given.values.keys() <= before.values.keys():
        raise Refused(Code.NO_SUCH_ATTRIBUTE, f"modify/delete: {given.kind.name}: no such value")
    return {key: value for key, value in before.values.items() if key not in given.values}


def _replaced(before: Attribute, given: Attribute) -> Mapping[Key, bytes]:
    return given.values


def _incremented(before: Attribute, given: Attribute) -> Mapping[Key, bytes]:
    if not before.values:
        raise Refused(Code.NO_SUCH_ATTRIBUTE, f"modify/increment: {given.kind.name}: no such attribute")
    step = int(next(iter(given.values.values())))
    sums = (int(value) + step for value in before.values.values())
    return {value: b"%d" % value for value in sums}


_STEPS = {_ADD: _added, _DELETE: _deleted, _REPLACE: _replaced, _INCREMENT: _incremented}


def check(matching: Matching, name: Dn, attributes: Attributes, before: Attributes | None = None) -> None:
    """
    Refuse an entry that the schema does not allow, or that does not bear its own name.

    @param before: what it was, unless it is new.
    """
    classes = _classes(matching, attributes)
    if before is not None and _structure(classes) != _structure(_classes(matching, before)):
        raise Refused(Code.CLASS_CHANGE, "structural object class modification not allowed")
    kind, value = matching.naming(name)
    named_by = attributes.get(kind.name.lower())
    if named_by is None or matching.key(kind, value) not in named_by.values:
        raise Refused(Code.NAMING, f"value of naming attribute '{kind.name}' is not present in entry")
    for made in classes:
        for missing in sorted(made.must - attributes.keys()):
            shown = matching.kind(missing).name
            raise Refused(Code.OBJECT_CLASS, f"object class '{made.name}' requires attribute '{shown}'")
    allowed = {"objectclass"}.union(*(made.must | made.may for made in classes))
    for lower, attribute in attributes.items():
        if lower not in allowed:
            raise Refused(Code.OBJECT_CLASS, f"attribute '{attribute.kind.name}' not allowed")
        if attribute.kind.single and len(attribute.values) > 1:
            raise Refused(Code.CONSTRAINT, f"attribute '{attribute.kind.name}' cannot have multiple values")


def _classes(matching: Matching, attributes: Attributes) -> list[ObjectClass]:
    """The classes of an entry, of which one must be structural."""
    if "objectclass" not in attributes:
        raise Refused(Code.OBJECT_CLASS, "no objectClass attribute")
    classes = [matching.schema.classes[str(key)] for key in attributes["objectclass"].values]
    structural = len(_structure(classes))
    if structural != 1:
        raise Refused(Code.OBJECT_CLASS, f"{structural} structural object classes provided where one belongs")
    return classes


def _structure(classes: Iterable[ObjectClass]) -> list[str]:
    return [made.name for made in classes if made.structural]


def difference(some: Attributes, others: Attributes) -> Mapping[str, list[bytes]]:
    """The values in C{some} that are not in C{others}, byte for byte, by the name of their attribute."""
    found = {}
    for name, attribute in some.items():
        known = others[name].values if name in others else {}
        if known is not attribute.values:
            values = [value for key, value in attribute.values.items() if known.get(key) != value]
            found.update({attribute.kind.name: values} if values else {})
    return found


def replayed(attributes: Attributes, gone: Attributes, come: Attributes) -> Attributes:
    """C{attributes} without the values C{gone}, and with the values C{come}."""
    new = dict(attributes)
    for name in gone.keys() | come.keys():
        kind = (gone.get(name) or come[name]).kind
        before = new.pop(name).values if name in new else {}
        values = {
            key: value for key, value in before.items() if name not in gone or key not in gone[name].values
        }
        values.update(come[name].values if name in come else {})
        if values:
            new[name] = Attribute(kind, values)
    return new
