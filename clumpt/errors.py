"""
What can go wrong, said in types: each tells whose fault it is and what the
caller may do.  The text of an error is shown to an operator as it is.
"""

from __future__ import annotations

__all__ = [
    "BadDocument",
    "BadInput",
    "Busy",
    "ClumptError",
    "ConfigurationError",
    "Conflict",
    "Damaged",
    "DirectoryRefused",
    "DirectoryUnavailable",
    "IdentityError",
    "LinkLost",
    "NotAllowed",
    "NotHere",
    "NothingMatched",
    "PeerUnreachable",
    "ProtocolError",
    "SequenceTaken",
    "StoreFull",
    "Untrusted",
]


class ClumptError(Exception):
    """Anything that Clumpt itself has to say about a failure."""


class BadInput(ClumptError):
    """The operator gave something that cannot be used; the text says what to give instead."""


class ConfigurationError(BadInput):
    """
    The configuration cannot be used.

    @ivar mistakes: every mistake found, one line each, with file and line.
    """

    def __init__(self, *mistakes: str) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(mistakes))


class NothingMatched(BadInput):
    """The groups or nodes named by the operator hold no peer."""


class NotAllowed(ClumptError):
    """What the operator asks for is against the policy of a group (R11)."""


class IdentityError(ClumptError):
    """This state folder, certificate or directory entry belongs to another node or deployment."""


class DirectoryUnavailable(ClumptError):
    """No directory server answered in time; the caller may try again."""


class DirectoryRefused(ClumptError):
    """The directory answered no: a refused bind, a missing right, a missing schema or base."""


class SequenceTaken(ClumptError):
    """Another submitter was given this sequence id first; read the head, sign again, retry (H5)."""


class Conflict(ClumptError):
    """What was to be created exists already, or was changed by somebody else meanwhile."""


class BadDocument(ClumptError):
    """Bytes that should be a document of ours and are not; the sender is at fault."""


class Untrusted(ClumptError):
    """A well-formed document that the keys in force do not vouch for."""


class ProtocolError(ClumptError):
    """The far side broke the rules of the wire; the line is closed."""


class LinkLost(ClumptError):
    """The link to a peer ended before the answer came; ask somebody else."""


class PeerUnreachable(ClumptError):
    """A peer could not be dialled at any of its addresses in time."""


class NotHere(ClumptError):
    """The peer does not hold what was asked of it."""


class Busy(ClumptError):
    """
    The peer cannot serve this now.

    @ivar retry_after: seconds to wait before asking the same peer again.
    """

    def __init__(self, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(f"busy, ask again in {retry_after:g} s")


class Damaged(ClumptError):
    """Something on this node's disk is not what was written there."""


class StoreFull(ClumptError):
    """The disk or the quota has no room for this."""
