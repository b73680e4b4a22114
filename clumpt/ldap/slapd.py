"""
What OpenLDAP needs to know, made from the same schema and grants that the embedded server obeys.

Text in, text out: nothing here touches a file or a server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from attrs import field, frozen

from clumpt.ldap import bootstrap, layout, schema
from clumpt.ldap.acl import ENTRIES, GRANTS, Deed, Grant, Role, identities
from clumpt.model import Settings

#: Read, search, compare, authenticate and disclose: what slapd calls read.
_READ = "read"
#: The same and adding, but neither changing nor deleting.
_READ_ADD = "=arscxd"
#: A dead peer of a replication link is noticed after 60 + 3 * 10 seconds.
_KEEPALIVE = "60:3:10"


@frozen
class Server:
    """
    One slapd.  All paths are absolute.

    @ivar number: different for each server of the deployment, 1 to 4095.
    @ivar folder: where the two databases lie, as C{main} and C{status}.
    @ivar run: where the process id is written.
    @ivar modules: where slapd's modules are; the usual place of Debian by default.
    @ivar schemas: the folder of C{core.ldif} and C{clumpt.ldif}.
    @ivar provider: the URI of the server that this one follows; empty for the provider itself.
    @ivar replica_certificate: what this server shows to the provider: a certificate for
        C{CN=clumpt-replicator}.
    @ivar confidential: refuse passwords on connections without TLS.
    @ivar most_bytes: the most that either database may take on disk.
    """

    base: str = field(converter=bootstrap.checked_base)
    folder: str
    certificate: str
    key: str
    authorities: str
    number: int = 1
    run: str = "/run/slapd"
    modules: str = "/usr/lib/ldap"
    core_schema: str = "/etc/ldap/schema/core.ldif"
    clumpt_schema: str = "/etc/ldap/schema/clumpt.ldif"
    provider: str = ""
    replica_certificate: str = ""
    replica_key: str = ""
    confidential: bool = True
    most_bytes: int = 4 * 1024**3


def schema_ldif(source: str) -> str:
    """
    The schema as an entry of cn=config.

    @param source: C{clumpt.schema}.
    """
    lines = ["dn: cn=clumpt,cn=schema,cn=config", "objectClass: olcSchemaConfig", "cn: clumpt"]
    for name, values in _definitions(source).items():
        lines += _numbered(name, values)
    return "\n".join(lines) + "\n"


def upgrade_ldif(source: str) -> str:
    """
    What brings an older schema up to date, for C{slapmodify -n 0}, which changes a server that rests.

    @param source: C{clumpt.schema}.
    """
    lines = [
        "# For servers that clumptconf init made.  On others the number may be another one:",
        '# slapcat -n 0 | grep "^dn: cn={.*}clumpt,cn=schema"',
        "dn: cn={1}clumpt,cn=schema,cn=config",
        "changetype: modify",
    ]
    for name, values in _definitions(source).items():
        lines += [f"replace: {name}", *_numbered(name, values), "-"]
    return "\n".join(lines) + "\n"


def _definitions(source: str) -> Mapping[str, Iterable[str]]:
    """The definitions by the attributes of cn=config that hold them."""
    read = schema.parse(source)
    return {
        "olcObjectIdentifier": [f"{name} {oid}" for name, oid in read.macros],
        "olcAttributeTypes": list(dict.fromkeys(kind.definition for kind in read.attributes.values())),
        "olcObjectClasses": [made.definition for made in read.classes.values()],
    }


def config_ldif(server: Server) -> str:
    """The whole configuration of C{server}, to be loaded by C{slapadd -n 0} into an empty folder."""
    status = f"{layout.STATUS},{server.base}"
    return "\n".join(
        (
            *_global(server),
            *_frontend(),
            # The inner suffix stands first: slapd asks its databases in this order.
            *_database(server, 1, status, "status", ["olcDbNoSync: TRUE", "olcDbCheckpoint: 1024 1"]),
            *_database(server, 2, server.base, "main", []),
            *_unique(server, 2),
        )
    )


def _numbered(name: str, values: Iterable[str]) -> Iterator[str]:
    return (f"{name}: {{{number}}}{value}" for number, value in enumerate(values))


def _entry(dn: str, kinds: Iterable[str], lines: Iterable[str]) -> Iterator[str]:
    yield f"dn: {dn}"
    yield from (f"objectClass: {kind}" for kind in kinds)
    yield from lines
    yield ""


def _global(server: Server) -> Iterator[str]:
    regexps = _numbered("olcAuthzRegexp", (f'"{pattern}" "{dn}"' for pattern, dn in identities(server.base)))
    lines = [
        "cn: config",
        f"olcServerID: {server.number}",
        f"olcPidFile: {server.run}/slapd.pid",
        f"olcArgsFile: {server.run}/slapd.args",
        "olcLogLevel: stats",
        "olcIdleTimeout: 3600",
        f"olcTLSCACertificateFile: {server.authorities}",
        f"olcTLSCertificateFile: {server.certificate}",
        f"olcTLSCertificateKeyFile: {server.key}",
        # Not everybody has a certificate, but whoever shows one must have a good one.
        "olcTLSVerifyClient: try",
        "olcTLSProtocolMin: 3.3",
        *(["olcSecurity: simple_bind=128"] if server.confidential else []),
        *regexps,
    ]
    yield from _entry("cn=config", ["olcGlobal"], lines)
    modules = ["cn: module", f"olcModulePath: {server.modules}"]
    modules += [f"olcModuleLoad: {name}" for name in ("back_mdb", "syncprov", "unique")]
    yield from _entry("cn=module,cn=config", ["olcModuleList"], modules)
    yield from _entry("cn=schema,cn=config", ["olcSchemaConfig"], ["cn: schema"])
    yield f"include: file://{server.core_schema}"
    yield f"include: file://{server.clumpt_schema}"
    yield ""


def _frontend() -> Iterator[str]:
    frontend = ["olcDatabase: {-1}frontend"]
    frontend += _numbered("olcAccess", ['to dn.base="" by * read', 'to dn.base="cn=Subschema" by * read'])
    yield from _entry(
        "olcDatabase={-1}frontend,cn=config", ["olcDatabaseConfig", "olcFrontendConfig"], frontend
    )
    root = "gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth"
    config = ["olcDatabase: {0}config", f'olcAccess: {{0}}to * by dn.exact="{root}" manage by * none']
    yield from _entry("olcDatabase={0}config,cn=config", ["olcDatabaseConfig"], config)


def _database(server: Server, number: int, suffix: str, folder: str, durability: list[str]) -> Iterator[str]:
    name = f"olcDatabase={{{number}}}mdb"
    lines = [
        f"olcDatabase: {{{number}}}mdb",
        f"olcSuffix: {suffix}",
        # Only slapd itself acts as this: it has no password.
        f"olcRootDN: cn=root,{suffix}",
        f"olcDbDirectory: {server.folder}/{folder}",
        f"olcDbMaxSize: {server.most_bytes}",
        *durability,
        "olcLastMod: TRUE",
        f"olcDbIndex: objectClass,entryCSN,entryUUID,{','.join(layout.INDEXED)} eq",
        # Silent truncation of long answers would look like missing peers.
        "olcLimits: {0}users size=unlimited time=unlimited",
        *_numbered("olcAccess", access(server.base, suffix)),
        *_consumer(server, number, suffix),
    ]
    yield from _entry(f"{name},cn=config", ["olcDatabaseConfig", "olcMdbConfig"], lines)
    overlay = ["olcOverlay: syncprov", "olcSpCheckpoint: 1000 5", "olcSpSessionlog: 10000"]
    kinds = ["olcOverlayConfig", "olcSyncProvConfig"]
    yield from _entry(f"olcOverlay=syncprov,{name},cn=config", kinds, overlay)


def _consumer(server: Server, number: int, suffix: str) -> Iterator[str]:
    if not server.provider:
        return
    starttls = "" if server.provider.startswith("ldaps:") else " starttls=critical"
    yield (
        f"olcSyncrepl: {{0}}rid={number:03d} provider={server.provider}{starttls}"
        " bindmethod=sasl saslmech=EXTERNAL"
        f' tls_cert="{server.replica_certificate}" tls_key="{server.replica_key}"'
        f' tls_cacert="{server.authorities}" tls_reqcert=demand'
        f' searchbase="{suffix}" type=refreshAndPersist retry="1 60 10 +"'
        f" keepalive={_KEEPALIVE} timeout=10 network-timeout=5"
    )
    yield f"olcUpdateRef: {server.provider}"


def _unique(server: Server, number: int) -> Iterator[str]:
    if server.provider:
        return
    kinds = ["olcOverlayConfig", "olcUniqueConfig"]
    lines = ["olcOverlay: unique"]
    lines += [f"olcUniqueURI: ldap:///{branch},{server.base}?{name}?sub" for branch, name in layout.UNIQUE]
    yield from _entry(f"olcOverlay=unique,olcDatabase={{{number}}}mdb,cn=config", kinds, lines)


def access(base: str, suffix: str) -> Iterator[str]:
    """
    L{GRANTS} as the access lines of the database C{suffix}, first match first.

    A line about a branch ends with C{by * break}, so that what it does not grant is decided below.
    """
    secret = (f"by {_who(grant.role, base)} {_level(grant)}" for grant in GRANTS if grant.secrets)
    yield f'to dn.subtree="{suffix}" attrs={layout.SECRET} {" ".join(secret)} by anonymous auth by * none'
    inner = suffix != base
    for grant in GRANTS:
        if grant.branch and (grant.branch == layout.STATUS) is inner:
            yield from _own(grant, base) if grant.own else _adding(grant, base)
    everywhere = (f"by {_who(grant.role, base)} {_level(grant)}" for grant in GRANTS if not grant.branch)
    yield f'to dn.subtree="{suffix}" {" ".join(everywhere)} by * none'


def _who(role: Role, base: str) -> str:
    if role is Role.PEER:
        # The entry must exist: a certificate alone is not enough once the peer was removed.
        return f'dn.onelevel="{layout.PEERS},{base}" set="user/objectClass & [clumptPeer]"'
    return f'dn.exact="{ENTRIES[role]},{base}"'


def _level(grant: Grant) -> str:
    return _READ if grant.deeds is Deed.READ else "write"


def _adding(grant: Grant, base: str) -> Iterator[str]:
    """Adding entries to a branch; their attributes are not checked when an entry is added."""
    branch, who = f"{grant.branch},{base}", _who(grant.role, base)
    yield f'to dn.exact="{branch}" attrs=children by {who} {_READ_ADD} by * break'
    yield f'to dn.onelevel="{branch}" attrs=entry by {who} {_READ_ADD} by * break'


def _own(grant: Grant, base: str) -> Iterator[str]:
    """Adding and changing the one entry of a branch that bears the client's name."""
    branch = f"{grant.branch},{base}"
    entry = f'to dn.regex="^cn=([^,]+),{branch.replace(".", "[.]")}$"'
    owner = f'dn.exact,expand="cn=$1,{layout.PEERS},{base}" set="user/objectClass & [clumptPeer]"'
    yield f'to dn.exact="{branch}" attrs=children by {_who(grant.role, base)} {_READ_ADD} by * break'
    yield f"{entry} attrs=entry by {owner} {_READ_ADD} by * break"
    yield f"{entry} attrs=children by {owner} {_READ} by * break"
    yield f"{entry} by {owner} write by * break"


def published() -> Mapping[str, str]:
    """The files of C{etc/openldap}, by name."""
    source = schema.text()
    example = Server(
        base="o=clumpt",
        folder="/var/lib/ldap/clumpt",
        certificate="/etc/ldap/tls/server.crt",
        key="/etc/ldap/tls/server.key",
        authorities="/etc/ldap/tls/ca.crt",
    )
    first = bootstrap.bootstrap("o=clumpt", b"{SSHA}REPLACE-ME", Settings("REPLACE-ME"))
    inner = [entry for entry in first if entry[0].startswith(layout.STATUS)]
    return {
        "clumpt.schema": source,
        "clumpt.ldif": schema_ldif(source),
        "upgrade.ldif": upgrade_ldif(source),
        "slapd.ldif": config_ldif(example),
        "base.ldif": bootstrap.ldif(entry for entry in first if entry not in inner),
        "status.ldif": bootstrap.ldif(inner),
    }
