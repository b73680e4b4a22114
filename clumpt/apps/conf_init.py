"""A new deployment: its keys, its first root document, its authority, and its place in the directory."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from attrs import frozen

from clumpt.aio import deferred
from clumpt.apps.conf_bundle import ini, make_folder, tls_section
from clumpt.apps.conf_env import Environment
from clumpt.apps.conf_keys import Places, Statement
from clumpt.apps.connect import ADMIN_FILES, SUBMITTER_FILES
from clumpt.config import DirectorySection
from clumpt.errors import BadDocument, BadInput, Conflict, DirectoryRefused, Untrusted
from clumpt.ldap import layout, schema, slapd
from clumpt.ldap.bootstrap import bootstrap, ldif
from clumpt.model import Peer, PeerName, Settings, is_name
from clumpt.trust.files import PUBLIC, read, write
from clumpt.trust.keyring import Keyring
from clumpt.trust.pki import ADMIN, SUBMITTER, Authority, Identity, Validity, certificate_digest, fingerprint
from clumpt.trust.root import Root, Submitter
from clumpt.trust.signer import Signer

#: Where everything is kept in the directory, if nobody says otherwise.
BASE = DirectorySection().base
#: For how long a certificate authority of ours is good.
CA_DAYS = 7300.0


@frozen
class NewDeployment:
    """
    What an administrator says of a deployment to be made.

    @ivar ident: its id, which no other deployment has.
    @ivar uris: of the directory's servers, the provider first.
    @ivar directory: further keys of C{[directory]}, as they are written.
    @ivar authority: certificate and key of an authority to use instead of a new one.
    @ivar root_passphrase: to protect the root key with.
    """

    ident: str
    uris: tuple[str, ...]
    directory: tuple[tuple[str, str], ...] = ()
    authority: tuple[Path, Path] | None = None
    days: float = 3650.0
    root_passphrase: bytes | None = None


def identifier(name: str, unique: str) -> str:
    """The id of a deployment called C{name}: the name, to be read, and C{unique} hexadecimal digits."""
    if not is_name(name):
        raise BadInput(f"{name!r} cannot name a deployment: letters, digits, dots and dashes")
    return f"{name}-{unique}"


def create(out: Path, new: NewDeployment, now: float) -> None:
    """
    Make the administrator's files below C{out}, which is usually C{/etc}; see clumptconf(8) for the list.

    Raises L{Conflict}, with nothing changed, if a deployment is there already.
    """
    places = Places.below(out)
    for path in (out / "clumpt.ini", places.root, places.root_key, places.enrol_key, places.pair("ca")[1]):
        if path.exists():
            raise Conflict(f"{path} exists: there is a deployment already, and nothing was changed")
    authority = _authority(new, now)
    root_key, enrol_key, submit_key = Signer.generate(), Signer.generate(), Signer.generate()
    keys = (root_key.public("root"), enrol_key.public("enrol"), submit_key.public("submit"))
    root = Root(
        version=1,
        deployment=new.ident,
        keys=keys,
        root_keys=frozenset([root_key.keyid]),
        submitters=(Submitter(submit_key.keyid, command=True),),
        enrollers=frozenset([enrol_key.keyid]),
        issued=int(now),
        ca=frozenset([certificate_digest(authority.identity.certificate)]),
    )
    for folder, mode in ((places.tls, 0o755), (places.root_key.parent, 0o700), (places.bundles, 0o700)):
        make_folder(folder, mode)
    root_key.save(places.root_key, new.root_passphrase)
    enrol_key.save(places.enrol_key)
    submit_key.save(places.submit_key)
    authority.identity.save(*places.pair("ca"))
    validity = Validity(now, new.days)
    for files, name in ((ADMIN_FILES, ADMIN), (SUBMITTER_FILES, SUBMITTER)):
        authority.client(name, validity).save(*places.pair(files))
    _directory_server(places, authority, new, validity)
    write(places.root, root_key.sign_root(root), PUBLIC)
    # The configuration comes last: with it, there is a deployment.
    write(out / "clumpt.ini", _administrators_ini(new), PUBLIC)


def _authority(new: NewDeployment, now: float) -> Authority:
    if new.authority is None:
        return Authority.create(new.ident, Validity(now, CA_DAYS))
    return Authority(new.ident, Identity.load(*new.authority))


def _directory_server(places: Places, authority: Authority, new: NewDeployment, validity: Validity) -> None:
    """What the directory servers need: a certificate for the hosts of their URIs, and OpenLDAP's LDIF."""
    hosts = [host for uri in new.uris if (host := urlsplit(uri).hostname)] or ["localhost"]
    server = authority.server(dict.fromkeys(hosts), validity)
    make_folder(places.directory, 0o700)
    server.save(places.directory / "server.pem", places.directory / "server-key.pem")
    write(places.directory / "ca.pem", authority.identity.certificate_pem, PUBLIC)
    for name, text in _openldap(places.directory, new).items():
        write(places.directory / name, text.encode(), PUBLIC)


def _openldap(folder: Path, new: NewDeployment) -> dict[str, str]:
    """The files that slapadd takes, by name: C{folder} is where the others lie on the server."""
    base = dict(new.directory).get("base", BASE)
    server = slapd.Server(
        base=base,
        folder="/var/lib/ldap/clumpt",
        certificate=str(folder / "server.pem"),
        key=str(folder / "server-key.pem"),
        authorities=str(folder / "ca.pem"),
        clumpt_schema=str(folder / "clumpt.ldif"),
    )
    # Nobody has a password: the tools and the peers have certificates.
    first = bootstrap(base, b"", Settings(new.ident))
    inner = [entry for entry in first if entry[0].startswith(layout.STATUS)]
    return {
        "clumpt.ldif": slapd.schema_ldif(schema.text()),
        "slapd.ldif": slapd.config_ldif(server),
        "base.ldif": ldif(entry for entry in first if entry not in inner),
        "status.ldif": ldif(inner),
    }


def _administrators_ini(new: NewDeployment) -> bytes:
    note = (
        f"The administrators' machine of the Clumpt deployment {new.ident}, as clumptconf init wrote it.\n"
        "Every key is explained in clumpt.ini(5)."
    )
    sections = {
        "directory": {"uris": " ".join(new.uris), **dict(new.directory)},
        "tls": tls_section(SUBMITTER_FILES),
        "trust": {"root": "clumpt/root.json"},
        "submit": {"key": "clumpt/submit-key.pem"},
    }
    return ini(note, sections)


def advice(out: Path, new: NewDeployment) -> list[str]:
    """What to tell the administrator about what L{create} made."""
    places = Places.below(out)

    def line(path: Path, what: str) -> str:
        return f"  {path.relative_to(out)!s:<26}  {what}"

    return [
        f"Made in {out}:",
        line(out / "clumpt.ini", "the configuration of clumpt and clumptconf on this machine"),
        line(places.root, "the root document, which every node gets"),
        line(places.submit_key, "signs updates"),
        line(places.enrol_key, "signs who belongs to which groups"),
        line(places.tls, "the certificate authority, and who the tools are"),
        line(places.directory, f"for the directory server at {' '.join(new.uris)}"),
        f"Take {places.root_key.relative_to(out)} off this machine, to two places without a network:",
        "whoever has it decides what all nodes trust.  It is needed to revoke a node or to change a key.",
    ]


@deferred
async def publish(env: Environment) -> None:
    """
    Bring the deployment into the directory; what is there already stays.

    Fails with L{IdentityError} if the directory has another deployment in it, and with
    L{DirectoryRefused} if it lacks the schema.
    """
    keyring = env.keys.keyring()
    if missing := await env.setup.verify_schema():
        mend = "load it first: clumptconf schema --format ldif, or --format upgrade if it is only too old"
        raise DirectoryRefused("\n".join([*missing, mend]))
    await env.setup.initialise(Settings(keyring.deployment))
    published = await env.directory.root_documents()
    if published:
        keyring = env.keys.keyring(published)
    else:
        await env.directory.add_root(1, read(env.keys.places.root))
    for files, name in ((ADMIN_FILES, ADMIN), (SUBMITTER_FILES, SUBMITTER)):
        await _enrol_tool(env, keyring, files, PeerName(name))
    env.talk.say(f"The directory knows the deployment {keyring.deployment} and its tools.")


@deferred
async def _enrol_tool(env: Environment, keyring: Keyring, files: str, name: PeerName) -> None:
    """Let peers know the tool by its certificate; they talk to nobody without a statement."""
    key = fingerprint(Identity.load(*env.keys.places.pair(files)).certificate)
    there = await env.directory.peer(name)
    after = 0
    if there is not None:
        try:
            member = keyring.member(there.member)
        except (BadDocument, Untrusted) as wrong:
            env.talk.say(f"The statement of {name} is made anew: {wrong}")
        else:
            if member.fingerprint == key:
                return
            after = member.generation
    statement = Statement(env.keys.enroller(), keyring, env.now()).of(name, key, frozenset(), after)
    await env.directory.put_peer(Peer(name, (), frozenset(), statement))
