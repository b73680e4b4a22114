"""The result codes of LDAP (RFC 4511) that we give, and the exception that carries one."""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """How an operation ended."""

    SUCCESS = 0
    OPERATIONS_ERROR = 1
    PROTOCOL_ERROR = 2
    SIZE_LIMIT = 4
    COMPARE_FALSE = 5
    COMPARE_TRUE = 6
    AUTH_METHOD = 7
    STRONGER_AUTH = 8
    ADMIN_LIMIT = 11
    CRITICAL_EXTENSION = 12
    CONFIDENTIALITY = 13
    SASL_IN_PROGRESS = 14
    NO_SUCH_ATTRIBUTE = 16
    UNDEFINED_TYPE = 17
    INAPPROPRIATE_MATCHING = 18
    CONSTRAINT = 19
    VALUE_EXISTS = 20
    BAD_SYNTAX = 21
    NO_SUCH_OBJECT = 32
    BAD_NAME = 34
    INAPPROPRIATE_AUTH = 48
    BAD_CREDENTIALS = 49
    NO_RIGHT = 50
    UNAVAILABLE = 52
    UNWILLING = 53
    NAMING = 64
    OBJECT_CLASS = 65
    NOT_ON_NON_LEAF = 66
    ENTRY_EXISTS = 68
    CLASS_CHANGE = 69


class Refused(Exception):
    """
    An operation that is answered with a result code other than success.

    @ivar text: for people; it goes to the client.
    @ivar matched: the name of the nearest entry above the one that is missing.
    """

    def __init__(self, code: Code, text: str = "", matched: str = "") -> None:
        self.code = code
        self.text = text
        self.matched = matched
        super().__init__(f"{code.name} ({code}): {text}")
