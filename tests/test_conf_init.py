"""A deployment is made, and brought into the directory (R66, R12)."""

from pathlib import Path

from attrs import evolve

from clumpt.apps.conf_init import NewDeployment, advice, create, identifier, publish
from clumpt.apps.conf_keys import Keys, Places
from clumpt.apps.rooms import ldap_tls
from clumpt.configfile import load
from clumpt.errors import BadInput, Conflict, DirectoryRefused, IdentityError
from clumpt.model import GroupName
from clumpt.testing.keys import Deployment
from clumpt.trust.keyring import Keyring
from clumpt.trust.pki import ADMIN, SUBMITTER, Identity, certificate_digest, fingerprint
from clumpt.trust.signer import Signer
from tests.conf_case import IDENT, NOW, ConfCase

#: All that init makes, with the mode of each.
MADE = {
    "clumpt.ini": 0o644,
    "clumpt/root.json": 0o644,
    "clumpt/enrol-key.pem": 0o600,
    "clumpt/submit-key.pem": 0o600,
    "clumpt/offline/root-key.pem": 0o600,
    "clumpt/tls/ca.pem": 0o644,
    "clumpt/tls/ca-key.pem": 0o600,
    "clumpt/tls/admin.pem": 0o644,
    "clumpt/tls/admin-key.pem": 0o600,
    "clumpt/tls/submitter.pem": 0o644,
    "clumpt/tls/submitter-key.pem": 0o600,
    "clumpt/directory/ca.pem": 0o644,
    "clumpt/directory/server.pem": 0o644,
    "clumpt/directory/server-key.pem": 0o600,
    "clumpt/directory/clumpt.ldif": 0o644,
    "clumpt/directory/slapd.ldif": 0o644,
    "clumpt/directory/base.ldif": 0o644,
    "clumpt/directory/status.ldif": 0o644,
}


class CreateTests(ConfCase):
    """What lies on the administrator's machine afterwards."""

    def files(self) -> dict[str, int]:
        return {
            str(path.relative_to(self.out)): path.stat().st_mode & 0o777
            for path in self.out.rglob("*")
            if path.is_file()
        }

    def test_files(self) -> None:
        """Every file is there, and private keys are for their owner only."""
        self.make()
        self.assertEqual(self.files(), MADE)
        self.assertEqual((self.out / "clumpt/offline").stat().st_mode & 0o777, 0o700)

    def test_root(self) -> None:
        """The root document names the authority, and gives each key its own work."""
        self.make()
        places = Places.below(self.out)
        root = Keyring.trusting([places.root.read_bytes()]).root
        root_key, enrol, submit = (
            Signer.load(path).keyid for path in (places.root_key, places.enrol_key, places.submit_key)
        )
        self.assertEqual((root.version, root.deployment), (1, IDENT))
        self.assertEqual((root.root_keys, root.enrollers), ({root_key}, {enrol}))
        (submitter,) = root.submitters
        self.assertEqual((submitter.keyid, submitter.groups, submitter.installers), (submit, None, None))
        ca = Identity.load(*places.pair("ca")).certificate
        self.assertEqual(root.ca, {certificate_digest(ca)})

    def test_configuration(self) -> None:
        """The configuration is ready for use, wherever the folder lies."""
        self.make(directory=(("base", "o=elsewhere"),))
        config = load(self.out / "clumpt.ini")
        self.assertEqual(config.directory.uris, ("ldaps://127.0.0.1:6360",))
        self.assertEqual(config.directory.base, "o=elsewhere")
        self.assertEqual(config.submit.key, self.out / "clumpt/submit-key.pem")
        ldap_tls(config)

    def test_again(self) -> None:
        """A second time destroys nothing, whatever of the first is left."""
        self.make()
        before = {name: (self.out / name).read_bytes() for name in MADE}
        for gone in ("clumpt.ini", "clumpt/root.json"):
            other = NewDeployment("other", ("ldap://x",))
            told = self.fails(Conflict, lambda other=other: create(self.out, other, NOW))
            self.assertIn("nothing was changed", told)
            self.assertEqual({name: (self.out / name).read_bytes() for name in before}, before)
            (self.out / gone).unlink()
            del before[gone]

    def test_openldap(self) -> None:
        """What OpenLDAP needs is ready: with the base, the deployment and the certificate of this one."""
        self.make(directory=(("base", "ou=x,o=y"),))
        folder = self.out / "clumpt/directory"
        base = (folder / "base.ldif").read_text()
        self.assertIn("dn: ou=x,o=y\n", base)
        self.assertIn(f"clumptDeployment: {IDENT}\n", base)
        self.assertNotIn("userPassword", base)
        self.assertIn("dn: ou=status,ou=x,o=y\n", (folder / "status.ldif").read_text())
        self.assertIn(f"{folder}/server.pem", (folder / "slapd.ldif").read_text())

    def test_passphrase(self) -> None:
        """The root key can have a passphrase."""
        self.make(root_passphrase=b"secret")
        places = Places.below(self.out)
        self.fails(BadInput, lambda: Signer.load(places.root_key))
        self.assertIsNotNone(Keys(places, root_passphrase=b"secret").root_signer())

    def test_own_authority(self) -> None:
        """A site can bring its own authority."""
        self.make()
        other = Path(self.mktemp())
        other.mkdir()
        ca = self.out / "clumpt/tls/ca.pem", self.out / "clumpt/tls/ca-key.pem"
        create(other, NewDeployment("other", ("ldap://x",), authority=ca), NOW)
        self.assertEqual((other / "clumpt/tls/ca.pem").read_bytes(), ca[0].read_bytes())

    def test_identifier(self) -> None:
        """The id can be read, and is no other deployment's."""
        self.assertEqual(identifier("astro", "0a1b"), "astro-0a1b")
        self.assertIn("letters", self.fails(BadInput, lambda: identifier("a b", "0a1b")))

    def test_unwritable(self) -> None:
        """Where nothing can be made, it says so."""
        (self.out / "clumpt").write_bytes(b"a file, not a folder")
        self.assertIn("cannot make", self.fails(BadInput, self.make))

    def test_advice(self) -> None:
        """It says which key belongs off-line."""
        self.assertIn(
            "clumpt/offline/root-key.pem", "\n".join(advice(self.out, NewDeployment(IDENT, ("ldap://x",))))
        )


class PublishTests(ConfCase):
    """What the directory knows afterwards."""

    def test_tools(self) -> None:
        """The tools have statements for their certificates, so that peers talk to them, and no groups."""
        self.make()
        self.assertEqual(self.setup.initialised.deployment, IDENT)
        site = self.site()
        for name, files in ((ADMIN, "admin"), (SUBMITTER, "submitter")):
            peer = self.peer(name)
            self.assertEqual((peer.addresses, peer.groups), ((), frozenset()))
            member = site.keyring.member(peer.member)
            identity = Identity.load(*Places.below(self.out).pair(files))
            self.assertEqual((member.peer, member.groups), (name, frozenset[GroupName]()))
            self.assertEqual(member.fingerprint, fingerprint(identity.certificate))

    def test_again(self) -> None:
        """Once more changes nothing."""
        self.make()
        before = self.directory.server.snapshot()
        self.now += 5
        self.did(publish(self.env))
        self.assertEqual(self.directory.server.contents, before)

    def test_bad_statement(self) -> None:
        """A tool whose statement is not good gets a new one."""
        self.make()
        self.did(self.directory.put_peer(evolve(self.peer(ADMIN), member=b"nonsense")))
        self.did(publish(self.env))
        self.assertEqual(self.site().keyring.member(self.peer(ADMIN).member).peer, ADMIN)
        self.assertIn("made anew", self.said())

    def test_other_certificate(self) -> None:
        """A tool with a new certificate gets the next statement."""
        self.make()
        authority = self.env.keys.authority(IDENT)
        certificate, key = self.env.keys.places.pair("admin")
        old = self.site().keyring.member(self.peer(ADMIN).member)
        key.unlink()
        authority.client(ADMIN, self.env.keys.validity(NOW)).save(certificate, key)
        self.did(publish(self.env))
        new = self.site().keyring.member(self.peer(ADMIN).member)
        self.assertEqual(new.generation, old.generation + 1)

    def test_other_deployment(self) -> None:
        """A directory with another root document is left alone."""
        self.make()
        self.directory.server.contents.roots[1] = Deployment().root_envelope
        self.assertIn("another", self.fails(IdentityError, lambda: publish(self.env)))

    def test_no_schema(self) -> None:
        """A directory without the schema is refused, with the command that prints it."""
        self.setup.missing = ["object class clumptPeer is missing"]
        create(self.out, NewDeployment(IDENT, ("ldaps://127.0.0.1",)), NOW)
        told = self.fails(DirectoryRefused, lambda: publish(self.environment()))
        self.assertIn("clumptPeer is missing", told)
        self.assertIn("clumptconf schema", told)
