"""
Who may do what in the directory, said once.

The embedded server obeys L{GRANTS} directly; C{clumpt.ldap.slapd} writes them
as access lines for OpenLDAP.  What is not granted is refused.  Authority over
the nodes does not rest on this: every update and membership is signed.
"""

from __future__ import annotations

from enum import Flag, StrEnum, auto

from attrs import frozen

from clumpt.ldap import layout


class Role(StrEnum):
    """What a client can be."""

    ADMIN = "admin"
    SUBMITTER = "submitter"
    REPLICATOR = "replicator"
    PEER = "peer"
    #: Not bound, or bound as somebody whom the directory does not know.
    STRANGER = "stranger"


class Deed(Flag):
    """What can be done to an entry."""

    READ = auto()
    ADD = auto()
    MODIFY = auto()
    DELETE = auto()


WRITE = Deed.ADD | Deed.MODIFY | Deed.DELETE


@frozen
class Grant:
    """
    A right.

    @ivar branch: the branch (see L{layout}) whose entries it covers, its top not included; empty for
        the base and all branches.
    @ivar own: only for the entry in the branch that bears the client's name.
    @ivar secrets: does it cover L{layout.SECRET} as well?
    """

    role: Role
    deeds: Deed
    branch: str = ""
    own: bool = False
    secrets: bool = False


GRANTS = (
    Grant(Role.ADMIN, Deed.READ | WRITE, secrets=True),
    Grant(Role.REPLICATOR, Deed.READ, secrets=True),
    Grant(Role.SUBMITTER, Deed.READ),
    # An update is never changed, and nobody but the administrators takes one away.
    Grant(Role.SUBMITTER, Deed.ADD, layout.UPDATES),
    Grant(Role.PEER, Deed.READ),
    # Each entry has one writer.
    Grant(Role.PEER, Deed.ADD | Deed.MODIFY, layout.STATUS, own=True),
)

#: The entries of the roles of which there is one.
ENTRIES = {
    Role.ADMIN: layout.ADMIN,
    Role.SUBMITTER: layout.SUBMITTER,
    Role.REPLICATOR: layout.REPLICATOR,
}

#: Common names of certificates that stand for those entries; no peer may be called so.
COMMON_NAMES = {f"clumpt-{role}": rdn for role, rdn in ENTRIES.items()}

_NAME = "([a-zA-Z0-9][a-zA-Z0-9._-]*)"


def identities(base: str) -> tuple[tuple[str, str], ...]:
    """
    How the subject of a client's certificate becomes a directory name.

    The first pattern that fits the whole subject, case aside, decides.  The subject is written as a DN:
    C{CN=node001} or C{O=clumpt, OU=peers, CN=node001} is C{cn=node001[,ou=peers,o=clumpt]}.  C{$1} is
    what the first parentheses took.
    """
    ours = base.partition(",")[0].replace(".", "[.]")
    special = tuple((name, f"{rdn},{base}") for name, rdn in COMMON_NAMES.items())
    return (
        *((f"^cn={name}(,{ours})?$", entry) for name, entry in special),
        (f"^cn={_NAME}(,{layout.PEERS},{ours})?$", f"cn=$1,{layout.PEERS},{base}"),
    )
