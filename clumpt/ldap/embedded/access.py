"""Who a client is, and what that allows: L{clumpt.ldap.acl} obeyed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import define, field, frozen

from clumpt.ldap import layout
from clumpt.ldap.acl import ENTRIES, GRANTS, Deed, Grant, Role, identities
from clumpt.ldap.embedded.matching import Dn
from clumpt.ldap.embedded.results import Refused
from clumpt.ldap.embedded.store import Store


@frozen
class Identity:
    """
    As whom a client is bound.

    @ivar text: the name, for people.
    @ivar dn: the same in normal form; () for nobody, and for a name that cannot be one of ours.
    """

    text: str = ""
    dn: Dn = ()

    @property
    def anonymous(self) -> bool:
        """Is nobody bound?"""
        return not self.text


@define(eq=False)
class Access:
    """What identities may do to the entries of C{store}."""

    _store: Store
    _roles: dict[Dn, Role] = field(init=False)
    _peers: Dn = field(init=False)
    _patterns: tuple[tuple[re.Pattern[str], str], ...] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._roles = {self._branch(rdn): role for role, rdn in ENTRIES.items()}
        self._peers = self._branch(layout.PEERS)
        pairs = identities(self._store.base)
        self._patterns = tuple((re.compile(pattern, re.IGNORECASE), name) for pattern, name in pairs)

    def _branch(self, rdn: str) -> Dn:
        return (*self._store.matching.name(rdn.encode()), *self._store.top)

    def certified(self, subject: str) -> Identity:
        """
        Whom a certificate stands for.

        @param subject: of the certificate, as a DN.
        """
        for pattern, name in self._patterns:
            found = pattern.match(subject)
            if found:
                text = name.replace("$1", found[1] or "").lower()
                return Identity(text, self._store.matching.name(text.encode()))
        try:
            return Identity(subject, self._store.matching.name(subject.encode()))
        except Refused:
            return Identity(subject)

    def role(self, who: Identity) -> Role:
        """What C{who} is; a peer that was removed is a stranger again."""
        if who.dn in self._roles:
            return self._roles[who.dn]
        if who.dn[1:] == self._peers:
            entry = self._store.find(who.dn)
            if entry and "clumptpeer" in entry.attributes["objectclass"].values:
                return Role.PEER
        return Role.STRANGER

    def may(self, who: Identity, deed: Deed, dn: Dn) -> bool:
        """May C{who} do this to the entry C{dn}, its secrets aside?"""
        return any(deed in grant.deeds for grant in self._grants(who, dn))

    def may_secretly(self, who: Identity, deed: Deed, dn: Dn) -> bool:
        """May C{who} do this to the secrets of the entry C{dn}?"""
        return any(deed in grant.deeds and grant.secrets for grant in self._grants(who, dn))

    def _grants(self, who: Identity, dn: Dn) -> Iterator[Grant]:
        role = self.role(who)
        for grant in GRANTS:
            if grant.role is role and self._covers(grant, who, dn):
                yield grant

    def _covers(self, grant: Grant, who: Identity, dn: Dn) -> bool:
        if not grant.branch:
            return True
        return dn[1:] == self._branch(grant.branch) and (not grant.own or dn[:1] == who.dn[:1])
