"""What is written for OpenLDAP."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import clumpt
from clumpt.errors import BadInput
from clumpt.ldap import schema
from clumpt.ldap.bootstrap import bootstrap, checked_base, ldif
from clumpt.ldap.slapd import Server, config_ldif, published, schema_ldif
from clumpt.model import Settings

FOLDER = Path(clumpt.__file__).parent.parent / "etc" / "openldap"


def config(**more: str) -> str:
    return config_ldif(
        Server(
            **{
                "base": "o=clumpt",
                "folder": "/f",
                "certificate": "/c",
                "key": "/k",
                "authorities": "/a",
                **more,
            }
        )
    )


class PublishedTests(SynchronousTestCase):
    """The files in etc/openldap."""

    def test_in_step(self) -> None:
        """They are those that would be written now; etc/openldap/regenerate writes them."""
        for name, text in published().items():
            self.assertEqual((FOLDER / name).read_text(), text, f"{name} is old: run etc/openldap/regenerate")

    def test_schema(self) -> None:
        """The LDIF holds every definition of the schema, each once."""
        text = schema_ldif(schema.text())
        read = schema.parse(schema.text())
        self.assertEqual(text.count("olcAttributeTypes: "), len(read.attributes))
        self.assertEqual(text.count("olcObjectClasses: "), len(read.classes))


class ConfigTests(SynchronousTestCase):
    """The configuration of one server."""

    def test_durability(self) -> None:
        """Only the database of status, which can be reported again, may lose its last minute."""
        status, main = config().split("olcSuffix: o=clumpt\n")
        self.assertEqual(status.count("olcDbNoSync: TRUE"), 1)
        self.assertNotIn("olcDbNoSync", main)

    def test_provider(self) -> None:
        """The provider keeps submissions unique and follows nobody (H5)."""
        self.assertIn("clumptSubmitId", config())
        self.assertNotIn("olcSyncrepl", config())

    def test_replica(self) -> None:
        """A replica follows both databases, with TLS, and sends writers to the provider (R43)."""
        text = config(provider="ldap://127.0.0.1:389", replica_certificate="/r", replica_key="/s")
        self.assertEqual(text.count("olcSyncrepl: "), 2)
        self.assertEqual(text.count("starttls=critical"), 2)
        self.assertEqual(text.count("olcUpdateRef: ldap://127.0.0.1:389"), 2)
        self.assertNotIn("starttls", config(provider="ldaps://127.0.0.1"))

    def test_base(self) -> None:
        """The base may lie below others; one that would break access rules is refused."""
        self.assertIn('"cn=$1,ou=peers,ou=clumpt,dc=example"', config(base="ou=clumpt,dc=example"))
        for base in ("", "clumpt", "cn=clumpt", 'o=a"b', "o=a,x=b", "o=a*", "o=a+ou=b"):
            with self.assertRaises(BadInput):
                checked_base(base)


class LdifTests(SynchronousTestCase):
    """Entries as text."""

    def test_bytes(self) -> None:
        """What is not plain text is written in base64."""
        text = ldif([("cn=x", {"a": [b"plain", b" led", b"trailed ", b":x", b"\xff", b"", b"a\nb"]})])
        self.assertEqual(text.count("a: "), 1)
        self.assertEqual(text.count("a:: "), 6)

    def test_settings(self) -> None:
        """The base holds the settings of the deployment (R49, R62, R74)."""
        [(dn, top), *rest] = bootstrap("ou=clumpt,dc=example", b"{SSHA}x", Settings("id", 7, 3, 10, 60.5))
        self.assertEqual((dn, top["ou"]), ("ou=clumpt,dc=example", [b"clumpt"]))
        self.assertEqual((top["clumptNeighbours"], top["clumptInterval"]), ([b"7"], [b"60.5"]))
        self.assertEqual(len([dn for dn, _ in rest if dn.startswith("cn=")]), 1)
        more = bootstrap("o=clumpt", b"{SSHA}x", Settings("id"), b"{SSHA}y")
        self.assertEqual(
            [dn for dn, _ in more if dn.startswith("cn=")], ["cn=admin,o=clumpt", "cn=submitter,o=clumpt"]
        )
