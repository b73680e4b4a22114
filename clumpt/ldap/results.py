"""What an LDAP result code means for us, in words that an operator can act on."""

from __future__ import annotations

from clumpt.errors import DirectoryRefused, DirectoryUnavailable

SUCCESS = 0
TIME_LIMIT = 3
SIZE_LIMIT = 4
REFERRAL = 10
ADMIN_LIMIT = 11
NO_SUCH_ATTRIBUTE = 16
UNDEFINED_TYPE = 17
CONSTRAINT = 19
VALUE_EXISTS = 20
BAD_SYNTAX = 21
NO_SUCH_OBJECT = 32
BUSY = 51
UNAVAILABLE = 52
UNWILLING = 53
OBJECT_CLASS = 65
ENTRY_EXISTS = 68

#: The server is a copy that takes no changes; another one may.
READ_ONLY = frozenset({REFERRAL, UNWILLING})
#: The schema of the server has no such attribute, or not in such entries.
LACKING = frozenset({UNDEFINED_TYPE, OBJECT_CLASS})
_TRANSIENT = frozenset({TIME_LIMIT, ADMIN_LIMIT, BUSY, UNAVAILABLE})
_SCHEMA = "the server lacks Clumpt's schema or has an older one: clumptconf check tells how to load it"
_READ_ONLY = "the server takes no changes, it may be a replica: name the provider as the writer"
_OTHER_BIND = "the server wants another way to authenticate"

_MEANING = {
    SIZE_LIMIT: "the server returns too few entries: raise olcLimits for this identity",
    7: _OTHER_BIND,
    8: _OTHER_BIND,
    REFERRAL: _READ_ONLY,
    12: "the server cannot page its answers (RFC 2696)",
    13: "the server wants TLS: use an ldaps:// address or StartTLS",
    UNDEFINED_TYPE: _SCHEMA,
    NO_SUCH_OBJECT: "there is no such entry, or this identity may not see it: is the base right?",
    48: _OTHER_BIND,
    49: "the server does not accept this name and password or certificate",
    50: "this identity has not the right to do it",
    UNWILLING: _READ_ONLY,
    OBJECT_CLASS: _SCHEMA,
}


class AnswerLost(DirectoryUnavailable):
    """The request was sent and no answer came: the server may or may not have carried it out."""


class Refusal(DirectoryRefused):
    """
    The server answered with a result code that is not a success.

    @ivar code: the LDAP result code.
    """

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        super().__init__(text)


def _said(raw: bytes) -> str:
    """The server's own words, made harmless for a log."""
    text = raw.decode("utf-8", "replace")[:200]
    return "".join(each if each.isprintable() else "?" for each in text)


def refusal(code: int, message: bytes, doing: str) -> DirectoryUnavailable | Refusal:
    """
    The error to raise for result C{code}.

    @param message: what the server said beside it.
    @param doing: who was asked for what, the beginning of the text.
    """
    said = _said(message)
    # slapd calls an object class that it does not know a syntax error.
    unknown_class = code == BAD_SYNTAX and "objectclass" in said.lower()
    meaning = _SCHEMA if unknown_class else _MEANING.get(code, "the server refused")
    text = f"{doing}: {meaning} (LDAP result {code}{': ' + said if said else ''})"
    if code in _TRANSIENT:
        return DirectoryUnavailable(f"{doing}: the server is busy (LDAP result {code})")
    return Refusal(code, text)
