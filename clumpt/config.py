"""
The configuration of one node: every key with its meaning and default stands
here and nowhere else; etc/clumpt.ini and the manual are written from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from attrs import field, fields, fields_dict, frozen

from clumpt.hours import HOURS, Hours
from clumpt.kinds import (
    FRACTION,
    OPTIONAL_PATH,
    PATH,
    PORT,
    SECONDS,
    SIZE,
    URIS,
    YES_NO,
    Kind,
    choice,
    matching,
    some_of,
    whole,
)
from clumpt.places import Locality

T = TypeVar("T")

#: Where the configuration is looked for.
DEFAULT_PATH = Path("/etc/clumpt.ini")
#: The origin of what nobody wrote.
DEFAULT = "default"

_NAME = matching(
    "a name of letters, digits, dots and dashes, or nothing", r"([A-Za-z0-9][A-Za-z0-9._-]{0,62})?"
)
_HOST = matching("a host name or IP address", r"[A-Za-z0-9:._%-]{1,255}")
_ID = matching("an LDAP name, such as o=clumpt", r"[A-Za-z][A-Za-z0-9-]*\s*=.+")
_OPTIONAL_ID = matching("an LDAP name or nothing", r"([A-Za-z][A-Za-z0-9-]*\s*=.+)?")
_OPTIONAL_URI = matching("an LDAP URI or nothing", r"(ldaps?://[^\s/]+/?)?")
#: The installers that a node may allow; a free command line is allowed by a key of its own (H3).
INSTALLERS = ("dpkg", "apt", "rpm", "dnf", "zypper", "pip", "tar")


def setting(kind: Kind[T], default: T, meaning: str) -> T:
    """One key: how its value is written, what it is if nobody says, and what it means."""
    made: T = field(default=default, metadata={"kind": kind, "help": meaning})
    return made


@frozen
class PeerSection:
    """This node."""

    name: str = setting(_NAME, "", "The name of this peer, as in its certificate. Empty: the host name.")
    state: Path = setting(
        PATH, Path("/var/lib/clumpt"), "Where the journal, the packages and the spool are kept."
    )
    listen: str = setting(_HOST, "0.0.0.0", "The address to listen on.")
    notify_port: int = setting(PORT, 4417, "The port of the notification protocol.")
    update_port: int = setting(PORT, 4418, "The port of the update protocol.")
    serve: str = setting(
        choice("verified", "installed"),
        "verified",
        "When packages are passed on: as soon as they are verified, or only once they are installed here.",
    )
    locality: str = setting(
        choice(*Locality),
        Locality.NONE.value,
        "Which peers are near, so that packages come from them if they can: those of the same rack by the"
        " directory, those of the same subnet (/24, or /64 for IPv6) by their addresses there, or none.",
    )
    interval_jitter: float = setting(
        FRACTION, 0.2, "How far the pause between synchronisations strays, as a part of the interval."
    )


@frozen
class DirectorySection:
    """The state base (LDAP)."""

    uris: tuple[str, ...] = setting(
        URIS, (), "The servers, in the order in which they are asked; the first is the provider. Must be set."
    )
    writer: str = setting(
        _OPTIONAL_URI, "", "The one server that gives out update ids. Empty: the first of uris."
    )
    base: str = setting(_ID, "o=clumpt", "The entry under which everything is kept.")
    starttls: bool = setting(
        YES_NO, True, "Whether ldap:// connections are encrypted before anything is said."
    )
    bind: str = setting(
        choice("external", "simple"),
        "external",
        "How to log in: by the certificate, or by name and password.",
    )
    bind_dn: str = setting(_OPTIONAL_ID, "", "The name for bind = simple.")
    bind_password_file: Path | None = setting(
        OPTIONAL_PATH, None, "The file whose first line is the password for bind = simple."
    )
    timeout: float = setting(SECONDS, 10.0, "Seconds to wait for one answer.")
    report_delay: float = setting(
        SECONDS, 1.0, "Seconds over which what happens here is gathered into one report to the directory."
    )
    allow_plain: bool = setting(
        YES_NO, False, "Whether ldap:// without starttls is allowed. Never over a network."
    )

    @property
    def provider(self) -> str:
        """The one server that gives out update ids (H5)."""
        return self.writer or self.uris[0]


@frozen
class TlsSection:
    """Who this node is to others; all three are PEM files."""

    ca: Path = setting(PATH, Path("/etc/clumpt/tls/ca.pem"), "The certificate authority of the cluster.")
    certificate: Path = setting(PATH, Path("/etc/clumpt/tls/peer.pem"), "The certificate of this node.")
    key: Path = setting(PATH, Path("/etc/clumpt/tls/peer-key.pem"), "The private key of this node.")


@frozen
class TrustSection:
    """Whose signatures count."""

    root: Path = setting(PATH, Path("/etc/clumpt/root.json"), "The pinned root document, version 1.")


@frozen
class InstallSection:
    """What may be run on this node, and how."""

    allow: tuple[str, ...] = setting(some_of(*INSTALLERS), INSTALLERS, "The installers that may be used.")
    allow_command: bool = setting(
        YES_NO,
        False,
        "Whether signed updates may run a command line of their own. The signing key must allow it too.",
    )
    root: Path = setting(PATH, Path("/"), "The root of the system that is installed to.")
    timeout: float = setting(
        SECONDS, 3600.0, "Seconds that one run may take, unless the update says otherwise."
    )
    lock_timeout: float = setting(SECONDS, 600.0, "Seconds to wait for a package manager that is busy.")
    on_interrupt: str = setting(
        choice("default", "rerun", "probe", "hold"),
        "default",
        "What to do after a run that was cut off, so that nobody knows how it ended."
        " default: what the update and its installer say.",
    )

    @property
    def allowed(self) -> frozenset[str]:
        """The installers that may be used, C{command} among them if it may."""
        return frozenset(self.allow) | ({"command"} if self.allow_command else frozenset())


@frozen
class LimitsSection:
    """How much this node gives and takes; k, M, G and T are powers of 1024."""

    upload: int = setting(
        SIZE, 0, "Bytes a second of packages that this daemon sends, to all peers together; 0 for no limit."
    )
    upload_hours: Hours = setting(
        HOURS,
        Hours(),
        "Other rates of upload at some hours of the day, in the local time of the node, such as"
        " 08:00-18:00 2M, 22:00-06:00 0.",
    )
    download: int = setting(
        SIZE, 0, "Bytes a second of packages that this daemon takes, from all peers together; 0 for no limit."
    )
    download_hours: Hours = setting(HOURS, Hours(), "The same for download.")
    fanout: int = setting(
        whole(1, 1000), 10, "How many peers are sent packages at once, or dialled when neighbours fail."
    )
    quota: int = setting(SIZE, 10 * 1024**3, "Bytes that the packages kept here may take.")
    links: int = setting(whole(2, 10000), 64, "How many links to other peers are kept open.")


@frozen
class SubmitSection:
    """The machine of the administrator, for clumpt alone."""

    key: Path = setting(PATH, Path("/etc/clumpt/submit-key.pem"), "The private key that signs updates.")
    initial: int = setting(
        whole(0, 100), 0, "Percentage of the peers that are told first; 0 for what the directory says."
    )
    listen: str = setting(_HOST, "0.0.0.0", "The address to listen on while peers fetch.")
    notify_port: int = setting(PORT, 0, "The port of the notification protocol; 0 for any free one.")
    update_port: int = setting(PORT, 0, "The port of the update protocol; 0 for any free one.")
    timeout: float = setting(SECONDS, 600.0, "Seconds until the peers told first must have everything.")


@frozen
class LogSection:
    """What is logged."""

    level: str = setting(choice("debug", "info", "warn", "error"), "info", "The least that is worth a line.")
    format: str = setting(choice("text", "json"), "text", "Lines for people, or one JSON object a line.")


@frozen
class Config:
    """
    Everything that is configured on this node.

    @ivar origins: where a value was written (C{file:line}), by C{section.key}; what is missing is default.
    """

    peer: PeerSection = PeerSection()
    directory: DirectorySection = DirectorySection()
    tls: TlsSection = TlsSection()
    trust: TrustSection = TrustSection()
    install: InstallSection = InstallSection()
    limits: LimitsSection = LimitsSection()
    submit: SubmitSection = SubmitSection()
    log: LogSection = LogSection()
    origins: Mapping[str, str] = field(factory=dict, eq=False)

    def origin(self, section: str, key: str) -> str:
        """C{file:line} of the value, or L{DEFAULT}."""
        return self.origins.get(f"{section}.{key}", DEFAULT)


@frozen
class Key:
    """What is known of one key, whoever reads or describes it."""

    section: str
    name: str
    kind: Kind[Any]
    default: Any
    meaning: str

    @property
    def default_text(self) -> str:
        """The default as it would be written in the file."""
        return self.kind.write(self.default)


#: The sections by name, in the order of the file.
SECTIONS: Mapping[str, type[Any]] = {
    section.name: type(section.default) for section in fields(Config) if section.name != "origins"
}


def keys(section: str) -> list[Key]:
    """The keys of C{section}, in order."""
    return [
        Key(section, name, key.metadata["kind"], key.default, key.metadata["help"])
        for name, key in fields_dict(SECTIONS[section]).items()
    ]


def about(section: str) -> str:
    """What C{section} is about, in one line."""
    return SECTIONS[section].__doc__ or ""
