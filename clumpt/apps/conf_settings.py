"""What holds for all nodes: the settings, the groups, and the neighbour lists (R11, R49, R62, R72, R74)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from clumpt.aio import deferred
from clumpt.apps.conf_change import changed, names, rewired, tell, write
from clumpt.apps.conf_env import Environment, survey
from clumpt.apps.conf_show import described
from clumpt.errors import BadInput
from clumpt.model import PATTERN, Group, GroupName, Settings

#: What C{set} calls the settings, the symbols of the paper included, and how a value is read.
_SETTINGS: Mapping[str, tuple[str, type]] = {
    "interval": ("interval", float),
    "initial": ("initial", int),
    "N": ("neighbours", int),
    "neighbours": ("neighbours", int),
    "M": ("known_by", int),
    "known_by": ("known_by", int),
}


def parse_settings(old: Settings, words: list[str]) -> Settings:
    """C{old} with what C{words}, each C{KEY=VALUE}, say; raises L{BadInput}."""
    # Any: each setting has a type of its own.
    found: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in _SETTINGS:
            known = ", ".join(_SETTINGS)
            raise BadInput(f"{word!r} is no setting; write KEY=VALUE with one of {known}")
        name, kind = _SETTINGS[key]
        try:
            found[name] = kind(value.removesuffix("%") if name == "initial" else value)
        except ValueError as wrong:
            raise BadInput(f"{word!r}: the value must be a number") from wrong
    try:
        settings = evolve(old, **found)
    except ValueError as wrong:
        raise BadInput(f"this setting is out of bounds: {wrong}") from wrong
    if settings.initial > 100 or not settings.interval < 366 * 86400:
        raise BadInput("initial is a percentage, at most 100; interval is at most a year, in seconds")
    return settings


@deferred
async def change_settings(env: Environment, words: list[str]) -> None:
    """Print the settings, after changing those that C{words} name (R49, R62, R72, R74)."""
    old = (await survey(env)).settings
    new = parse_settings(old, words)
    if new != old and not env.talk.dry:
        await env.directory.change_settings(new)
        env.talk.say(f"The peers notice within {old.interval:g} s.")
        if (new.neighbours, new.known_by) != (old.neighbours, old.known_by):
            env.talk.say("The neighbour lists follow when you say: clumptconf rewire")
    fields = {
        "deployment": new.deployment,
        "N": new.neighbours,
        "M": new.known_by,
        "initial": new.initial,
        "interval": new.interval,
    }
    env.talk.show((f"{key}={value}" for key, value in fields.items()), settings=fields)


@deferred
async def change_group(env: Environment, name: GroupName, words: Mapping[str, str | None]) -> None:
    """
    Create a group, or change its description or what may be installed in it (R11), and tell its members.

    @param words: C{description}, C{installers}, C{packages} and C{refuses}; what is None stays as it is.
    """
    site = await survey(env)
    old = next((one for one in site.groups if one.name == name), None)
    group = _changed(old or _new_group(name), words)
    members = [peer for peer in site.peers if group.name in peer.groups]
    if group != old and not env.talk.dry:
        await env.directory.put_group(group)
        if old is not None and evolve(group, description=old.description) != old:
            await tell(env, site, members)
    fields = {
        "name": group.name,
        "description": group.description,
        "installers": sorted(group.installers),
        "packages": sorted(group.packages),
        "refuses": sorted(group.refuses),
        "members": [peer.name for peer in members],
    }
    env.talk.show(described(fields), group=fields)


def _changed(group: Group, words: Mapping[str, str | None]) -> Group:
    # Any: texts and sets of texts.
    found: dict[str, Any] = {}
    if (description := words["description"]) is not None:
        found["description"] = description
    for kind in ("installers", "packages", "refuses"):
        if (listed := words[kind]) is not None:
            found[kind] = frozenset(word for word in listed.split(",") if word)
            if bad := sorted(word for word in found[kind] if not PATTERN.fullmatch(word)):
                raise BadInput(f"{bad[0]!r} is no name or pattern, such as cuda-*; commas stand between them")
    return evolve(group, **found)


def _new_group(name: GroupName) -> Group:
    try:
        return Group(name)
    except ValueError as wrong:
        raise BadInput(f"{name!r} cannot name a group: letters, digits, dots and dashes") from wrong


@deferred
async def rewire(env: Environment) -> None:
    """Put the neighbour lists in order, with as few changes as possible, and tell whom it concerns."""
    site = await survey(env)
    affected = changed(site, rewired(env, site))
    if not affected:
        env.talk.say("There is nothing to do: all neighbour lists are as they should be.")
    elif await env.talk.agreed([f"Changed neighbours: {names(affected)}"]):
        await write(env, affected)
        await tell(env, site, affected)
