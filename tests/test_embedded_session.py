"""
Answers of the embedded server that matter most, where no OpenLDAP is at hand to compare with.

C{tests.live.test_same_answers} compares many more.
"""

from tests.acl_matrix import GROUP, OTHER, PEER, PEOPLED, UPDATE
from tests.embedded_case import ADMIN, BASE, EmbeddedCase
from tests.ldapclient import ADD, REPLACE, Client, either, equal, present, without


class BindTests(EmbeddedCase):
    """Who one is."""

    more = PEOPLED

    def test_no_password(self) -> None:
        """A name without a password is no proof of anything."""
        client = self.connect()
        self.assertEqual(self.ask(client.bind(ADMIN, b"")), 53)
        self.assertEqual(self.ask(client.whoami()), (0, b""))

    def test_failed_bind(self) -> None:
        """Who fails to bind is nobody, whoever it was before."""
        client = self.admin()
        self.assertEqual(self.ask(client.bind(PEER, b"guessed")), 49)
        self.assertEqual(self.ask(client.whoami()), (0, b""))
        self.assertEqual(self.ask(client.bind(ADMIN, b"admin-secret")), 0)
        self.assertEqual(self.ask(client.external()), 7)
        self.assertEqual(self.ask(client.delete(OTHER)), 8)

    def test_somebody_else(self) -> None:
        """A certificate is good for its own name alone."""
        client = self.connect("CN=node001")
        self.assertEqual(self.ask(client.external(b"dn:" + ADMIN.encode())), 50)
        self.assertEqual(self.ask(client.external(b"dn:" + PEER.encode())), 0)
        self.assertEqual(self.ask(client.whoami()), (0, b"dn:" + PEER.encode()))

    def test_peer_with_the_name_of_a_role(self) -> None:
        """The name of a role means the role only where no branch is named."""
        for subject, name in (
            ("CN=clumpt-admin", ADMIN),
            ("CN=clumpt-admin,O=clumpt", ADMIN),
            ("CN=clumpt-admin,OU=peers,O=clumpt", f"cn=clumpt-admin,ou=peers,{BASE}"),
        ):
            client = self.connect(subject)
            self.assertEqual(self.ask(client.external()), 0)
            self.assertEqual(self.ask(client.whoami()), (0, f"dn:{name}".encode()))

    def test_odd_certificate(self) -> None:
        """A subject that can be no name of ours is a stranger."""
        client = self.connect("CN=node001+1.2.3=x,DC=org")
        self.assertEqual(self.ask(client.external()), 0)
        self.assertEqual(self.ask(client.search(BASE))[0], 32)

    def test_stranger_again(self) -> None:
        """Who gives its name up may send no more than a stranger."""
        client = self.admin()
        self.assertEqual(self.ask(client.bind()), 0)
        lost = client.add(GROUP, {"objectClass": ["clumptGroup"], "description": ["x" * 70_000]})
        self.settle()
        self.failureResultOf(lost)


class ReadTests(EmbeddedCase):
    """What is found."""

    more = PEOPLED

    def names(self, client: Client, base: str, filter: object) -> set[str]:
        return set(self.ask(client.search(base, 2, filter, ["1.1"]))[1])

    def test_secrets(self) -> None:
        """Filters tell nobody about passwords who may not read them."""
        peer = self.connect("CN=node001")
        self.ask(peer.external())
        self.assertEqual(self.names(peer, BASE, present("userPassword")), set())
        self.assertEqual(self.names(peer, BASE, without(present("userPassword"))), set())
        self.assertIn(PEER, self.names(self.admin(), BASE, present("userPassword")))

    def test_databases(self) -> None:
        """No search goes from one database into the other, with an index or without."""
        for filter in (equal("cn", "node002"), either(equal("cn", "node002"), equal("description", "x"))):
            self.assertEqual(self.names(self.admin(), BASE, filter), {OTHER})

    def test_undefined(self) -> None:
        """Neither a filter about something unknown nor its negation finds anything."""
        for filter in (equal("bogus", "1"), without(equal("bogus", "1")), without(equal("clumptSeq", "x"))):
            self.assertEqual(self.names(self.admin(), BASE, filter), set())

    def test_pages(self) -> None:
        """Pages show everything once, also when entries come and go meanwhile."""
        admin = self.admin()
        pages = self.ask(admin.pages(BASE, 3))
        self.assertEqual([len(page) for page in pages], [3, 3, 3, 2])
        self.assertEqual(len({name for page in pages for name in page}), 11)


class ChangeTests(EmbeddedCase):
    """What may be changed."""

    more = PEOPLED

    def test_anonymous(self) -> None:
        """Nobody is told to authenticate before anything is looked up."""
        client = self.connect()
        for deed in (client.delete("cn=none," + BASE), client.modify(UPDATE, (ADD, "clumptTarget", ["x"]))):
            self.assertEqual(self.ask(deed), 8)

    def test_submission_stays_unique(self) -> None:
        """No change gives an update the submit id of another one (H5)."""
        admin = self.admin()
        other = {
            "objectClass": ["clumptUpdate"],
            "clumptSubmitId": ["second"],
            "clumptEnvelope": ["{}"],
        }
        dn = f"clumptSeq=2,ou=updates,{BASE}"
        self.assertEqual(self.ask(admin.add(dn, {**other, "clumptSubmitId": ["first"]})), 19)
        self.assertEqual(self.ask(admin.add(dn, other)), 0)
        self.assertEqual(self.ask(admin.modify(dn, (REPLACE, "clumptSubmitId", ["first"]))), 19)
        self.assertEqual(self.ask(admin.modify(dn, (REPLACE, "clumptSubmitId", ["third"]))), 0)

    def test_class(self) -> None:
        """An entry stays what it is; it may become something in addition."""
        admin = self.admin()
        change = (REPLACE, "objectClass", ["clumptPeer"])
        self.assertEqual(self.ask(admin.modify(GROUP, change)), 69)
        more = (ADD, "objectClass", ["simpleSecurityObject"])
        self.assertEqual(self.ask(admin.modify(GROUP, more, (ADD, "userPassword", ["x"]))), 0)
