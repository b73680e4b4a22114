"""What all connections to one directory share."""

from __future__ import annotations

from attrs import frozen

from clumpt.ldap.acl import Deed
from clumpt.ldap.embedded.access import Access, Identity
from clumpt.ldap.embedded.entries import Stored
from clumpt.ldap.embedded.matching import Dn
from clumpt.ldap.embedded.passwords import Passwords
from clumpt.ldap.embedded.results import Code, Refused
from clumpt.ldap.embedded.store import Store


@frozen
class Service:
    """
    The entries, and who may do what to them.

    @ivar confidential: refuse passwords on connections without TLS.
    """

    store: Store
    access: Access
    passwords: Passwords
    confidential: bool

    def need(self, who: Identity, deed: Deed, name: Dn) -> None:
        """Refuse unless C{who} may do this."""
        if not self.access.may(who, deed, name):
            raise Refused(Code.NO_RIGHT, "no write access")

    def visible(self, who: Identity, name: Dn) -> Stored:
        """The entry; who may not read it is told that it is not there."""
        if not self.access.may(who, Deed.READ, name):
            raise Refused(Code.NO_SUCH_OBJECT)
        return self.store.get(name)
