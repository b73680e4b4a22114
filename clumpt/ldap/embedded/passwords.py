"""Passwords: kept as hashes only, and compared in constant time."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from hashlib import scrypt, sha1
from hmac import compare_digest

from attrs import frozen

_SCRYPT, _SSHA = b"{SCRYPT}", b"{SSHA}"
_SALT = 16
_SHA1 = 20
_BLOCK = 8


@frozen
class Passwords:
    """
    Makes and checks hashes.

    @ivar entropy: gives so many random bytes, such as C{os.urandom}.
    @ivar cost: how many rounds of scrypt a new hash takes, a power of 2.  Binding blocks the server for
        that long: 4096 is some 10 ms.
    """

    entropy: Callable[[int], bytes]
    cost: int = 4096

    def hashed(self, password: bytes) -> bytes:
        """A hash of C{password}, to be stored; of a hash, the same again."""
        if password.startswith((_SCRYPT, _SSHA)):
            return password
        salt = self.entropy(_SALT)
        parts = (str(self.cost).encode(), b64encode(salt), b64encode(_scrypt(password, salt, self.cost)))
        return _SCRYPT + b"$".join(parts)

    def matches(self, password: bytes, stored: bytes) -> bool:
        """Is C{stored} a hash of C{password}?  What cannot be read matches nothing."""
        try:
            if stored.startswith(_SCRYPT):
                cost, salt, hash = stored.removeprefix(_SCRYPT).split(b"$")
                # The administrators alone write hashes: no cost of theirs is hostile.
                return compare_digest(_scrypt(password, b64decode(salt), int(cost)), b64decode(hash))
            if stored.startswith(_SSHA):
                raw = b64decode(stored.removeprefix(_SSHA))
                return compare_digest(sha1(password + raw[_SHA1:]).digest(), raw[:_SHA1])
        except ValueError:
            return False
        return False


def _scrypt(password: bytes, salt: bytes, cost: int) -> bytes:
    return scrypt(password, salt=salt, n=cost, r=_BLOCK, p=1, maxmem=256 * _BLOCK * cost + 2**20, dklen=32)


def ssha(password: bytes, salt: bytes) -> bytes:
    """A hash that every OpenLDAP understands; for long random passwords only."""
    return _SSHA + b64encode(sha1(password + salt).digest() + salt)
