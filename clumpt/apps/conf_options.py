"""The words that follow each command of clumptconf."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.python.usage import UsageError

from clumpt.apps.conf_bundle import NOTIFY, UPDATE
from clumpt.apps.conf_enrol import Newcomers
from clumpt.apps.conf_init import BASE, NewDeployment, identifier
from clumpt.apps.conf_issue import Delivery
from clumpt.apps.conf_submitters import Scope
from clumpt.apps.nodes import expand, expand_hosts
from clumpt.apps.words import AnyOrder
from clumpt.errors import BadInput
from clumpt.kinds import URIS, nearest
from clumpt.ldap import slapd
from clumpt.model import HEX64, Address, GroupName, is_name

_YES = ["yes", "y", "Do not ask."]
_DRY = ["dry-run", "s", "Only say what would be done."]
_JSON = ["json", None, "Print JSON."]
_PASSPHRASE = ["root-passphrase-file", None, None, "A file whose first line is the root key's passphrase."]
_OUT = ["out", "o", None, "Where bundles are written; the folder nodes beside the root document by default."]
_UNPACKED = ["unpacked", None, "Write a folder for each node instead of a tar archive."]
#: The files of C{schema}, by what they are for.
_SCHEMAS = {
    "schema": "clumpt.schema",
    "ldif": "clumpt.ldif",
    "upgrade": "upgrade.ldif",
    "slapd": "slapd.ldif",
    "base": "base.ldif",
    "status": "status.ldif",
}


class Init(AnyOrder):
    """Make a new deployment."""

    synopsis = "--deployment-name NAME --directory-uri URI[,URI...] [--out DIR]"
    optParameters = [
        ["deployment-name", "n", None, "What people call it."],
        ["directory-uri", "u", None, "The LDAP servers, the provider first, between commas."],
        ["out", "o", "/etc", "Where clumpt.ini and the folder clumpt are made."],
        ["base", "b", BASE, "The entry of the directory under which everything is kept."],
        ["ca", None, None, "The certificate of an authority to use, instead of a new one."],
        ["ca-key", None, None, "Its private key."],
        ["days", None, 3650.0, "For how many days certificates are good.", float],
        _PASSPHRASE,
    ]
    optFlags = [
        ["offline", None, "Make the files only; bring them into the directory later, with publish."],
        ["no-starttls", None, "Do not encrypt ldap:// connections: for try-outs on one machine only."],
        _DRY,
    ]

    def postOptions(self) -> None:
        """Complain of what is missing."""
        for name in ("deployment-name", "directory-uri"):
            if not self[name]:
                raise UsageError(f"--{name} must be given")
        if bool(self["ca"]) != bool(self["ca-key"]):
            raise UsageError("--ca and --ca-key belong together")
        if self["days"] <= 0:
            raise UsageError("--days must be more than 0")
        # Who made a directory by one command does not want to be asked whether that was meant.
        self["yes"] = True

    def new_deployment(self, unique: str, passphrase: bytes | None) -> NewDeployment:
        """What was said; raises L{BadInput}."""
        text = self["directory-uri"].replace(",", " ")
        try:
            uris: tuple[str, ...] = URIS.parse(text, Path())
        except ValueError as wrong:
            raise BadInput(f"--directory-uri must be {URIS.what}, between commas") from wrong
        directory = [] if self["base"] == BASE else [("base", self["base"])]
        if self["no-starttls"]:
            directory += [("starttls", "no"), ("allow_plain", "yes")]
        return NewDeployment(
            identifier(self["deployment-name"], unique),
            uris,
            tuple(directory),
            (Path(self["ca"]), Path(self["ca-key"])) if self["ca"] else None,
            self["days"],
            passphrase,
        )


class Publish(AnyOrder):
    """Bring a deployment into the directory; what is there stays."""


class Schema(AnyOrder):
    """Print what an OpenLDAP server needs."""

    optParameters = [
        ["format", "f", "schema", f"One of {', '.join(_SCHEMAS)}; they are explained in clumptconf(8)."],
    ]

    def postOptions(self) -> None:
        """Complain of an unknown format."""
        if self["format"] not in _SCHEMAS:
            raise UsageError(f"there is no format {self['format']}{nearest(self['format'], _SCHEMAS)}")


def schema_text(words: Mapping[str, Any]) -> str:
    """What C{schema} prints."""
    return slapd.published()[_SCHEMAS[words["format"]]]


class Add(AnyOrder):
    """Add nodes: C{clumptconf add n[001-020] -g GROUP,...}."""

    synopsis = "NODES -g GROUP[,GROUP...] [--address ADDRESS]"
    optParameters = [
        ["groups", "g", None, "The groups of the nodes, between commas."],
        ["address", "a", "%n", "Where they are: %n stands for the name; 10.0.0.[1-20] gives each its own."],
        ["ports", "p", f"{NOTIFY}:{UPDATE}", "Where they listen: notification protocol:update protocol."],
        ["arch", None, "", "The architecture that packages must have, as the package manager calls it."],
        ["rack", None, "", "Where they stand: neighbours are chosen from several racks."],
        [
            "certificate",
            None,
            None,
            "The certificate of the only node, if it has one of the authority already.",
        ],
        _OUT,
    ]
    optFlags = [_UNPACKED, _YES, _DRY]

    def parseArgs(self, nodes: str) -> None:  # type: ignore[override]  # usage.Options reads it
        """Take the nodes."""
        self["nodes"] = nodes

    def postOptions(self) -> None:
        """Read them all; raises L{BadInput}."""
        if not self["groups"]:
            raise UsageError("-g GROUP must be given: a node without a group is told nothing")
        names = expand(self["nodes"])
        self["newcomers"] = Newcomers(
            dict(zip(names, self._addresses(names), strict=True)),
            group_names(self["groups"]),
            self["arch"],
            self["rack"],
            Path(self["certificate"]) if self["certificate"] else None,
        )

    def _addresses(self, names: Sequence[str]) -> list[Address]:
        given = self["address"]
        hosts = [given.replace("%n", name) for name in names] if "%n" in given else expand_hosts(given)
        if len(hosts) != len(names):
            raise BadInput(
                f"--address {given} is {len(hosts)} hosts for {len(names)} nodes:"
                " let %n stand for the name, or give as many, such as 10.0.0.[1-20]"
            )
        ports = re.fullmatch(r"(\d{1,5}):(\d{1,5})", self["ports"])
        if ports is None or not all(0 < int(port) < 65536 for port in ports.groups()) or ports[1] == ports[2]:
            raise BadInput(f"--ports must be two different ports, such as {NOTIFY}:{UPDATE}")
        try:
            return [Address(host, int(ports[1]), int(ports[2])) for host in hosts]
        except ValueError as wrong:
            raise BadInput(f"--address {given!r} is no host name or address") from wrong


def group_names(text: str) -> frozenset[GroupName]:
    """The groups in C{text}, between commas; raises L{BadInput}."""
    names = [name for name in text.split(",") if name]
    if bad := next((name for name in names if not is_name(name)), None):
        raise BadInput(f"{bad!r} cannot name a group: letters, digits, dots and dashes")
    return frozenset(map(GroupName, names))


def delivery(words: Mapping[str, Any], default: Path) -> Delivery:
    """Where bundles go."""
    return Delivery(Path(words["out"]) if words["out"] else default, bool(words["unpacked"]))


class _OfNodes(AnyOrder):
    synopsis = "NODES"

    def parseArgs(self, nodes: str) -> None:  # type: ignore[override]  # usage.Options reads it
        """Take the nodes."""
        self["nodes"] = nodes


class Renew(_OfNodes):
    """
    Give nodes new keys: after a reinstallation, or when a key was stolen.

    C{clumpt-admin}, C{clumpt-submitter} and C{clumpt-directory} get new certificates for their keys.
    """

    optParameters = [_OUT, _PASSPHRASE]
    optFlags = [["stolen", None, "Revoke the old keys; the root key is needed."], _UNPACKED, _YES, _DRY]


class SetGroups(AnyOrder):
    """Put nodes into these groups, and no others: C{clumptconf set-groups n[1-4] intel,all}."""

    synopsis = "NODES GROUP[,GROUP...]"
    optFlags = [_YES, _DRY]

    def parseArgs(self, nodes: str, groups: str) -> None:  # type: ignore[override]  # usage.Options reads it
        """Take the nodes and the groups."""
        self["nodes"], self["groups"] = nodes, group_names(groups)


class Remove(_OfNodes):
    """Take nodes out of the deployment."""

    optParameters = [_PASSPHRASE]
    optFlags = [_YES, _DRY]


class Revoke(AnyOrder):
    """Revoke keys; show and remove tell their fingerprints."""

    synopsis = "FINGERPRINT..."
    optParameters = [_PASSPHRASE]
    optFlags = [_YES, _DRY]

    def parseArgs(self, *fingerprints: str) -> None:
        """Take the fingerprints."""
        if not fingerprints or not all(HEX64.fullmatch(one) for one in fingerprints):
            raise UsageError("give fingerprints of 64 hexadecimal digits")
        self["fingerprints"] = fingerprints


class Group(AnyOrder):
    """Create or change a group: C{clumptconf group gpu --installers dpkg,apt --refuses 'nvidia-legacy-*'}."""

    synopsis = "NAME [--description TEXT] [--installers NAME[,NAME...]] [--packages PATTERN[,PATTERN...]]"
    optParameters = [
        ["description", "d", None, "What the group is."],
        ["installers", "i", None, "The installers that may be used in it, between commas; empty for any."],
        [
            "packages",
            "p",
            None,
            "The packages that may be installed in it, such as 'cuda-*', between commas; empty for any.",
        ],
        ["refuses", "r", None, "The packages that may not; empty for none."],
    ]
    optFlags = [_JSON, _DRY]

    def parseArgs(self, name: str) -> None:  # type: ignore[override]  # usage.Options reads it
        """Take the name."""
        self["name"] = name


class Submitters(AnyOrder):
    """Show who may submit what."""

    optFlags = [_JSON]


class SubmitterOptions(AnyOrder):
    """Give an administrator a key of his own: C{clumptconf submitter alice -g gpu}."""

    synopsis = "NAME [--groups GROUP[,GROUP...]] [--installers NAME[,NAME...]] [--command] | NAME --retire"
    optParameters = [
        ["groups", "g", None, "The groups that may be submitted to; all without it."],
        ["installers", "i", None, "The installers that may be used; all without it."],
        ["out", "o", None, "Where the files are written; the folder submitters beside the root document."],
        _PASSPHRASE,
    ]
    optFlags = [
        ["command", "c", "Commands may be run that are no package manager's."],
        ["retire", None, "Let what is signed with this key from now on count no more."],
        _YES,
        _DRY,
    ]

    def parseArgs(self, name: str) -> None:  # type: ignore[override]  # usage.Options reads it
        """Take the name."""
        self["name"] = name

    def postOptions(self) -> None:
        """Read the scope; raises L{BadInput}."""
        if self["retire"] and (self["groups"] or self["installers"] or self["command"]):
            raise UsageError("--retire changes nothing else")
        self["scope"] = Scope(
            group_names(self["groups"]) if self["groups"] else None,
            frozenset(word for word in self["installers"].split(",") if word) if self["installers"] else None,
            bool(self["command"]),
        )


class List(AnyOrder):
    """List the nodes."""

    optParameters = [["group", "g", None, "Only those of this group."]]
    optFlags = [["fold", "f", "Print only their names, in one word."], _JSON]


class Show(_OfNodes):
    """Show all that is known of nodes."""

    optFlags = [_JSON]


class Set(AnyOrder):
    """Show or change the settings: C{clumptconf set interval=60 N=5 M=2 initial=20}."""

    synopsis = "[KEY=VALUE...]"
    optFlags = [_JSON, _DRY]

    def parseArgs(self, *settings: str) -> None:
        """Take the settings."""
        self["settings"] = list(settings)


class Neighbours(AnyOrder):
    """Show who knows whom."""

    synopsis = "[NODES]"
    optFlags = [_JSON]

    def parseArgs(self, nodes: str | None = None) -> None:
        """Take the nodes, all if there are none."""
        self["nodes"] = nodes


class Rewire(AnyOrder):
    """Put the neighbour lists in order."""

    optFlags = [_YES, _DRY]


class RepairDirectory(AnyOrder):
    """Bring back the updates that the directory lost."""

    optFlags = [_DRY]


class Check(AnyOrder):
    """Check everything."""

    optFlags = [_JSON]
