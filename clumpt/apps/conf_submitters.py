"""Administrators with keys of their own, so that it is known who submitted what, and one can go (R57, H3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from attrs import evolve, frozen

from clumpt.aio import deferred
from clumpt.apps.conf_bundle import File, Files, directory_section, ini, tls_section, write_folder
from clumpt.apps.conf_change import tell
from clumpt.apps.conf_env import Environment, Site, survey
from clumpt.apps.conf_roots import following, publish_root
from clumpt.apps.connect import SUBMITTER_FILES
from clumpt.errors import BadInput, Conflict, NothingMatched
from clumpt.model import GroupName, is_name
from clumpt.trust.files import PRIVATE, read
from clumpt.trust.root import Submitter
from clumpt.trust.signer import Signer

#: The key of a submitter, in the folder for the administrator's C{/etc}.
_KEY = "clumpt/submit-key.pem"


@frozen
class Scope:
    """
    What a new submitter may do; see L{Submitter}.

    @ivar groups: None for all; C{installers} likewise.
    """

    groups: frozenset[GroupName] | None = None
    installers: frozenset[str] | None = None
    command: bool = False


def _named(site: Site) -> Mapping[str, Submitter]:
    """The submitters by what people call them."""
    labels = {key.keyid: key.label or key.keyid[:8] for key in site.keyring.root.keys}
    return {labels[one.keyid]: one for one in site.keyring.root.submitters}


@deferred
async def list_submitters(env: Environment) -> None:
    """Print who may submit what."""
    site = await survey(env)
    fields = {
        name: {
            "groups": None if one.groups is None else sorted(one.groups),
            "installers": None if one.installers is None else sorted(one.installers),
            "command": one.command,
            "max_seq": one.max_seq,
        }
        for name, one in _named(site).items()
    }
    env.talk.show(_lines(_named(site)), submitters=fields)


def _lines(submitters: Mapping[str, Submitter]) -> Iterator[str]:
    for name, one in sorted(submitters.items()):
        groups = "all groups" if one.groups is None else ", ".join(sorted(one.groups))
        how = "any installer" if one.installers is None else ", ".join(sorted(one.installers))
        command = ", commands too" if one.command else ""
        retired = f"; retired after update {one.max_seq}" if one.max_seq else ""
        yield f"{name}: {groups}, with {how}{command}{retired}"


@deferred
async def add_submitter(env: Environment, name: str, scope: Scope, out: Path | None) -> None:
    """
    Let somebody submit with a key of their own, by the next root document.

    @param out: the folder for what belongs into C{/etc} of their machine; None for the usual one.

    Fails with L{Conflict} if there is a key of that C{name}, and with L{BadInput} without the root key.
    """
    if not is_name(name):
        raise BadInput(f"{name!r} cannot name a submitter: letters, digits, dots and dashes")
    site = await survey(env)
    root = site.keyring.root
    if any(key.label == name for key in root.keys):
        raise Conflict(f"there is a key called {name} already; clumptconf submitters shows them")
    key, folder = Signer.generate(), out or env.keys.places.folder / "submitters" / name
    new = Submitter(key.keyid, scope.groups, scope.installers, scope.command)
    document = following(env, site, keys=(*root.keys, key.public(name)), submitters=(*root.submitters, new))
    if await env.talk.agreed([f"New submitter: {next(_lines({name: new}))}", f"Files: in {folder}"]):
        write_folder(_files(env, name), folder)
        key.save(folder / _KEY)
        await _publish(env, site, document, f"{name} may submit")
        env.talk.say(
            f"Copy the contents of {folder} to /etc of the machine of {name}, over a line that you trust,"
            " and delete it here: it holds private keys."
        )


@deferred
async def retire_submitter(env: Environment, name: str) -> None:
    """Let a submitter sign no more; what was registered until now stays good (docs/trust.md)."""
    site = await survey(env)
    known = _named(site)
    if name not in known:
        raise NothingMatched(f"there is no submitter {name}; there are {', '.join(sorted(known))}")
    head = await env.directory.head()
    if not head:
        raise BadInput(f"nothing was submitted yet: {name} can be retired once something was")
    gone = known[name]
    if gone.max_seq and gone.max_seq <= head:
        env.talk.say(f"There is nothing to do: {name} was retired after update {gone.max_seq}.")
        return
    root = site.keyring.root
    changed = tuple(evolve(one, max_seq=head) if one == gone else one for one in root.submitters)
    document = following(env, site, submitters=changed)
    if await env.talk.agreed([f"Retire {name}: what is signed after update {head} counts no more"]):
        await _publish(env, site, document, f"{name} is retired after update {head}")


async def _publish(env: Environment, site: Site, document: bytes, what: str) -> None:
    version = await publish_root(env, site, document)
    env.talk.say(f"By root document {version}, {what}.")
    await tell(env, site, site.peers)


def _files(env: Environment, name: str) -> Files:
    """What a submitter's machine needs, but for the key: its certificate is that of all submitters."""
    places = env.keys.places
    certificate, private = places.pair(SUBMITTER_FILES)
    text = ini(
        f"The machine of the Clumpt submitter {name}, as clumptconf submitter wrote it.",
        {
            "directory": directory_section(env.config),
            "tls": tls_section(SUBMITTER_FILES),
            "trust": {"root": "clumpt/root.json"},
            "submit": {"key": _KEY},
        },
    )
    return {
        "clumpt.ini": File(text),
        "clumpt/root.json": File(read(places.root)),
        "clumpt/tls/ca.pem": File(read(places.pair("ca")[0])),
        f"clumpt/tls/{SUBMITTER_FILES}.pem": File(read(certificate)),
        f"clumpt/tls/{SUBMITTER_FILES}-key.pem": File(read(private, private=True), PRIVATE),
    }
