"""BER elements, written."""

from __future__ import annotations

from clumpt.ldap.ber import INTEGER, OCTETS


def element(tag: int, *contents: bytes) -> bytes:
    """One element that contains C{contents}."""
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def octets(value: bytes) -> bytes:
    """An octet string."""
    return element(OCTETS, value)


def integer(value: int, tag: int = INTEGER) -> bytes:
    """An integer."""
    return element(tag, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))
