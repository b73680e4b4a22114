"""C{twistd clumpt-conf}, or C{clumptconf}: set up a deployment, add and change its peers, and check it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import Any, TextIO
from uuid import uuid4

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.python.usage import Options as Words
from twisted.python.usage import UsageError

from clumpt.aio import deferred
from clumpt.apps import conf_options as said
from clumpt.apps.ask import answer
from clumpt.apps.conf_alter import remove, renew, revoke, set_groups
from clumpt.apps.conf_check import check
from clumpt.apps.conf_enrol import add
from clumpt.apps.conf_env import Environment
from clumpt.apps.conf_init import advice, create, publish
from clumpt.apps.conf_keys import Keys, Places
from clumpt.apps.conf_repair import repair_directory
from clumpt.apps.conf_settings import change_group, change_settings, rewire
from clumpt.apps.conf_show import list_nodes, neighbours, show
from clumpt.apps.conf_submitters import add_submitter, list_submitters, retire_submitter
from clumpt.apps.conf_talk import Talk
from clumpt.apps.connect import ADMIN_FILES, as_tool, calling_network
from clumpt.apps.oneshot import OneShotOptions, Status, nowhere, one_shot
from clumpt.apps.rooms import real_directory
from clumpt.config import DEFAULT_PATH
from clumpt.configfile import load
from clumpt.errors import ClumptError
from clumpt.trust.files import read

#: What each verb does with an environment, once its words are read.
Verb = Callable[[Environment, Any], Deferred[Any]]


class Options(OneShotOptions):
    """The words on the command line of clumptconf."""

    synopsis = "[--config FILE] COMMAND [words]"
    longdesc = "Sets up a Clumpt deployment and says who belongs to it.  clumptconf(8) has examples."
    optParameters = [["config", "c", str(DEFAULT_PATH), "The configuration file; see clumpt.ini(5)."]]
    subCommands = [
        [
            "init",
            None,
            said.Init,
            "Make a new deployment: keys, certificates, root of trust, directory tree.",
        ],
        ["publish", None, said.Publish, "Bring a deployment that was made before into the directory."],
        ["schema", None, said.Schema, "Print what an OpenLDAP server needs."],
        ["add", None, said.Add, "Add nodes, and write a bundle for each."],
        ["renew", None, said.Renew, "Give nodes new keys and certificates, and write a bundle for each."],
        ["set-groups", None, said.SetGroups, "Say to which groups nodes belong."],
        ["remove", None, said.Remove, "Take nodes out."],
        ["revoke", None, said.Revoke, "Let no peer accept these keys any more."],
        ["group", None, said.Group, "Create a group, or change what may be installed in it."],
        ["submitters", None, said.Submitters, "Show who may submit what."],
        ["submitter", None, said.SubmitterOptions, "Give an administrator a key of his own, or retire one."],
        ["list", None, said.List, "List the nodes."],
        ["show", None, said.Show, "Show all that is known of nodes."],
        ["set", None, said.Set, "Show or change the settings of the deployment: interval, initial, N, M."],
        ["neighbours", None, said.Neighbours, "Show who knows whom."],
        ["rewire", None, said.Rewire, "Put the neighbour lists in order."],
        [
            "repair-directory",
            None,
            said.RepairDirectory,
            "Bring back what a directory lost that was set back to a backup.",
        ],
        ["check", None, said.Check, "Check everything, and say how to mend what is wrong."],
    ]

    def getSynopsis(self) -> str:
        """What --help begins with: under twistd it goes on from there."""
        return self.synopsis if self.parent is not None else f"Usage: clumptconf {self.synopsis}"

    def postOptions(self) -> None:
        """Complain if there is no command."""
        super().postOptions()
        if self.subCommand is None:
            raise UsageError(f"say what to do: {', '.join(_VERBS)}, init or schema")


@deferred
async def _add(env: Environment, words: Mapping[str, Any]) -> None:
    await add(env, words["newcomers"], said.delivery(words, env.keys.places.bundles))


@deferred
async def _renew(env: Environment, words: Mapping[str, Any]) -> None:
    bundles = said.delivery(words, env.keys.places.bundles)
    await renew(env, words["nodes"], bundles, bool(words["stolen"]))


@deferred
async def _submitter(env: Environment, words: Mapping[str, Any]) -> None:
    if words["retire"]:
        await retire_submitter(env, words["name"])
        return
    await add_submitter(env, words["name"], words["scope"], Path(words["out"]) if words["out"] else None)


_VERBS: Mapping[str, Verb] = {
    "publish": lambda env, _: publish(env),
    "add": _add,
    "renew": _renew,
    "set-groups": lambda env, words: set_groups(env, words["nodes"], words["groups"]),
    "remove": lambda env, words: remove(env, words["nodes"]),
    "revoke": lambda env, words: revoke(env, words["fingerprints"]),
    "group": lambda env, words: change_group(env, words["name"], words),
    "submitters": lambda env, _: list_submitters(env),
    "submitter": _submitter,
    "list": lambda env, words: list_nodes(env, words["group"], bool(words["fold"])),
    "show": lambda env, words: show(env, words["nodes"]),
    "set": lambda env, words: change_settings(env, words["settings"]),
    "neighbours": lambda env, words: neighbours(env, words["nodes"]),
    "rewire": lambda env, _: rewire(env),
    "repair-directory": lambda env, _: repair_directory(env),
    "check": lambda env, _: check(env),
}


def makeService(options: Options) -> Service:
    """The service that twistd runs."""
    return one_shot(options, partial(main, options))


@deferred
async def main(options: Options, reactor: Any, stdout: TextIO) -> int:
    """Do what C{options} say; fires with the exit status."""
    words: Words = options.subOptions
    talk = _talk(words, reactor, stdout)
    if isinstance(words, said.Schema):
        stdout.write(said.schema_text(words))
        return Status.DONE
    if isinstance(words, said.Init):
        return await _init(words, talk, reactor)
    env = environment(Path(options["config"]), talk, reactor, _passphrase(words))
    return await _perform(env, _VERBS[str(options.subCommand)], words)


async def _perform(env: Environment, verb: Verb, words: Words) -> int:
    try:
        status = await verb(env, words)
        return Status.DONE if status is None else int(status)
    finally:
        await env.directory.close()


async def _init(words: said.Init, talk: Talk, reactor: Any) -> int:
    out, new = Path(words["out"]), words.new_deployment(uuid4().hex[:12], _passphrase(words))
    if not await talk.agreed([f"Make the deployment {new.ident} in {out}"]):
        return Status.DONE
    create(out, new, time.time())
    talk.say("\n".join(advice(out, new)))
    later = f"Start the directory, see clumptconf(8), then: clumptconf --config {out}/clumpt.ini publish"
    if words["offline"]:
        talk.say(later)
        return Status.DONE
    try:
        env = environment(out / "clumpt.ini", talk, reactor)
        return await _perform(env, _VERBS["publish"], words)
    except ClumptError:
        talk.say(f"The files are made; the directory does not know of them yet.\n{later}")
        raise


def environment(path: Path, talk: Talk, reactor: Any, root_passphrase: bytes | None = None) -> Environment:
    """
    What the verbs need, from the configuration in C{path}; close its directory afterwards.

    Raises L{ClumptError} if the configuration or the administrator's files cannot be used.
    """
    config = as_tool(load(path), ADMIN_FILES)
    directory = real_directory(config, reactor)
    keys = Keys(Places.of(config), root_passphrase=root_passphrase)
    random = SystemRandom()
    return Environment(
        config,
        directory,
        directory,
        keys,
        partial(calling_network, config, reactor, random),
        random,
        time.time,
        talk,
    )


def _passphrase(words: Words) -> bytes | None:
    path = words.get("root-passphrase-file")
    return read(Path(path), private=True).partition(b"\n")[0] if path else None


def _talk(words: Words, reactor: Any, stdout: TextIO) -> Talk:
    there = sys.__stdin__ is not None and sys.__stdin__.isatty()
    return Talk(
        stdout,
        sys.__stderr__ or nowhere(),
        partial(answer, reactor) if there else None,
        yes=bool(words.get("yes")),
        dry=bool(words.get("dry-run")),
        json=bool(words.get("json")),
    )
