"""Passwords in the embedded server."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt.ldap.embedded.passwords import Passwords, ssha
from tests.acl_matrix import BASE, PEER, PEOPLED
from tests.embedded_case import EmbeddedCase
from tests.ldapclient import REPLACE

PASSWORDS = Passwords(Random(5).randbytes, cost=4)


class PasswordTests(SynchronousTestCase):
    """L{Passwords}."""

    # scrypt takes no notice of zero bytes at the end.
    @given(*[st.binary(max_size=30).map(lambda drawn: b"x" + drawn + b"!")] * 2)
    def test_matches(self, password: bytes, other: bytes) -> None:
        """A hash matches its password and no other, and is never the same twice."""
        for stored in (PASSWORDS.hashed(password), ssha(password, b"salt")):
            self.assertTrue(PASSWORDS.matches(password, stored))
            self.assertEqual(PASSWORDS.matches(other, stored), password == other)
        self.assertNotEqual(PASSWORDS.hashed(password), PASSWORDS.hashed(password))

    def test_openldap(self) -> None:
        """What slappasswd makes is understood."""
        stored = b"{SSHA}rgV5o3XAurwIs7DyGa0QZiW3eOUWLH+2"
        self.assertTrue(PASSWORDS.matches(b"secret", stored))
        self.assertFalse(PASSWORDS.matches(b"Secret", stored))

    @given(st.binary(max_size=60))
    def test_any_hash(self, stored: bytes) -> None:
        """What is no hash matches nothing, not even itself."""
        for text in (stored, b"{SSHA}" + stored, b"{SCRYPT}" + stored):
            self.assertFalse(PASSWORDS.matches(stored, text))


class StoredTests(EmbeddedCase):
    """Passwords that clients set."""

    more = PEOPLED

    def test_never_in_the_clear(self) -> None:
        """A password that is set is stored as its hash, and works."""
        admin = self.admin()
        self.assertEqual(self.ask(admin.modify(PEER, (REPLACE, "userPassword", ["changed"]))), 0)
        group = f"cn=x,ou=peers,{BASE}"
        new = {"objectClass": ["clumptPeer"], "userPassword": ["fresh"]}
        self.assertEqual(self.ask(admin.add(group, new)), 0)
        for dn, password in ((PEER, b"changed"), (group, b"fresh")):
            _, found = self.ask(admin.search(dn, 0))
            self.assertTrue(found[dn]["userPassword"][0].startswith(b"{SCRYPT}"))
            self.assertEqual(self.ask(self.connect().bind(dn, password)), 0)
            self.assertEqual(self.ask(self.connect().bind(dn, found[dn]["userPassword"][0])), 49)
