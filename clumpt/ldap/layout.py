"""The shape of the directory, relative to its base: the same for every server."""

from __future__ import annotations

#: The branches below the base.  L{STATUS} is a database (naming context) of its own.
TRUST = "ou=trust"
GROUPS = "ou=groups"
PEERS = "ou=peers"
UPDATES = "ou=updates"
STATUS = "ou=status"

#: The entries of those who are not peers.
ADMIN = "cn=admin"
SUBMITTER = "cn=submitter"
REPLICATOR = "cn=replicator"

#: Attributes that nobody but their keepers may read.
SECRET = "userPassword"

#: Attributes with an equality index, which serves comparisons of order too.
INDEXED = (
    "clumptSeq",
    "clumptSubmitId",
    "clumptTarget",
    "clumptHighWater",
    "clumptFailedSeq",
    "clumptState",
    "clumptLastSeen",
    "cn",
    "member",
)

#: In each branch, the attributes of which no two entries may have the same value.
UNIQUE = ((UPDATES, "clumptSubmitId"),)
