"""The embedded server and OpenLDAP give the same answers (R40): what runs with one runs with the other."""

from collections.abc import Awaitable, Callable
from typing import Any

from ldaptor.protocols import pureldap
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

from clumpt.aio import deferred
from clumpt.testing.slapd import ADMIN_PASSWORD
from tests.acl_matrix import BASE, GROUP, OTHER, PEER, PEOPLED, UPDATE, outcomes
from tests.embedded_case import new_store
from tests.ldapclient import (
    ADD,
    DELETE,
    INCREMENT,
    REPLACE,
    WHOAMI,
    Client,
    at_least,
    at_most,
    begins,
    both,
    either,
    equal,
    present,
    tls,
    without,
)
from tests.live.embedded_directory import Embedded
from tests.live.slapd_case import SlapdCase

ADMIN = f"cn=admin,{BASE}"
UPDATES = f"ou=updates,{BASE}"
PACKAGES = ("clumptPackage", ["hello 1 all", "hello 2 all"])
Connect = Callable[[str], Awaitable[Client]]


def update(seq: int, **more: Any) -> dict[str, Any]:
    return {
        "objectClass": ["clumptUpdate"],
        "clumptSeq": [str(seq)],
        "clumptSubmitId": [f"submit {seq}"],
        "clumptEnvelope": [b"\x00\xff"],
        **more,
    }


def dn(seq: int) -> str:
    return f"clumptSeq={seq},{UPDATES}"


async def binding(connect: Connect) -> list[Any]:
    """Each way to say who one is, and to fail at it."""
    client = await connect("")
    said = [
        await client.bind(ADMIN, b"wrong"),
        await client.bind(f"cn=nobody,{BASE}", b"x"),
        await client.bind(GROUP, b"x"),
        await client.bind(ADMIN, b""),
        await client.bind("", b"x"),
        await client.bind("no name", b"x"),
        await client.external(),
        await client.external(mechanism=b"NOTHING"),
        await client.code(pureldap.LDAPBindRequest(version=2, dn=ADMIN, auth=ADMIN_PASSWORD)),
        await client.whoami(),
        await client.bind(ADMIN.upper(), ADMIN_PASSWORD),
        await client.whoami(),
        await client.bind(ADMIN, b"wrong"),
        await client.whoami(),
        await client.bind(ADMIN, ADMIN_PASSWORD),
        await client.bind("", b""),
        await client.whoami(),
        await client.starttls(None),
    ]
    peer = await connect("O=clumpt/OU=peers/CN=node001")
    said += [
        await peer.whoami(),
        await peer.external(None),
        await peer.external(b"dn:" + PEER.encode()),
        await peer.external(b"dn:" + ADMIN.encode()),
        await peer.whoami(),
    ]
    return said


async def adding(client: Client) -> list[Any]:
    """Entries that may be there, and others."""
    said = [await client.add(dn(seq), update(seq)) for seq in (9, 10, 100)]
    without_class = update(11)
    del without_class["objectClass"]
    without_must = update(11)
    del without_must["clumptEnvelope"]
    without_name = {"objectClass": ["clumptGroup"]}
    said += [
        await client.add(dn(9), update(9)),
        await client.add(dn(11), update(11, clumptSubmitId=["submit 9"])),
        await client.add(dn(11), without_class),
        await client.add(dn(11), without_must),
        await client.add(dn(11), update(12)),
        await client.add(dn(11), update(11, bogus=["1"])),
        await client.add(dn(11), update(11, clumptHead=["1"])),
        await client.add(dn(11), update(11, clumptSize=["01"])),
        await client.add(dn(11), update(11, clumptSize=["1", "2"])),
        await client.add(dn(11), update(11, clumptTarget=["a", "A"])),
        await client.add(dn(11), update(11, clumptTarget=[""])),
        await client.add(dn(11), update(11, clumptIssued=["20240101"])),
        await client.add(dn(11), update(11, clumptTarget=[b"\xff"])),
        await client.add(dn(11), update(11, objectClass=["nothing"])),
        await client.add(dn(11), update(11, objectClass=["top"])),
        await client.add(dn(11), update(11, objectClass=["clumptUpdate", "clumptGroup"], cn=["x"])),
        await client.add(f"clumptSeq=011,{UPDATES}", update(11)),
        await client.add(f"clumptSeq=11,ou=nowhere,{BASE}", update(11)),
        await client.add("clumptSeq=11,o=elsewhere", update(11)),
        await client.add("bogus=11," + UPDATES, update(11)),
        await client.add(f"cn=named,ou=groups,{BASE}", without_name),
        await client.add(
            f"cn=other,ou=groups,{BASE}", {"objectClass": ["clumptGroup"], "cn": ["Other", "two"]}
        ),
        await client.add(f"CN = NAMED , OU=Groups,{BASE}", without_name),
        await client.add(f"cn=a\\, b,ou=groups,{BASE}", {**without_name, "cn": ["a, b"]}),
    ]
    return said


async def changing(client: Client) -> list[Any]:
    """Changes that can be made, and others; a failed one changes nothing."""
    said = [
        await client.modify(UPDATE, *changes)
        for changes in (
            [(REPLACE, "clumptSize", ["5"])],
            [(INCREMENT, "clumptSize", ["3"])],
            [(INCREMENT, "clumptSize", ["-1"])],
            [(INCREMENT, "clumptIssued", ["1"])],
            [(INCREMENT, "clumptSize", ["x"])],
            [(INCREMENT, "clumptSubmitId", ["1"])],
            [(ADD, "clumptTarget", ["a", "b"])],
            [(ADD, "clumptTarget", ["B"])],
            [(ADD, "clumptTarget", ["c", "c"])],
            [(ADD, "clumptTarget", [])],
            [(DELETE, "clumptTarget", ["z"])],
            [(DELETE, "clumptTarget", ["A"])],
            [(DELETE, "clumptPackage", [])],
            [(REPLACE, "clumptPackage", [])],
            [(ADD, "clumptSize", ["7"])],
            [(DELETE, "clumptEnvelope", [])],
            [(REPLACE, "clumptSeq", ["2"])],
            [(DELETE, "clumptSeq", ["1"])],
            [(REPLACE, "objectClass", ["clumptGroup"])],
            [(DELETE, "objectClass", [])],
            [(REPLACE, "clumptSize", ["99"]), (DELETE, "description", ["missing"])],
            [(DELETE, "clumptSize", ["7"]), (ADD, "clumptSize", ["8"])],
            [(DELETE, "clumptSize", ["6"]), (ADD, "clumptSize", ["8"])],
            [(REPLACE, "bogus", ["1"])],
            [(REPLACE, "clumptHead", ["1"])],
            [(REPLACE, "clumptSize", ["1x"])],
            [(REPLACE, "clumptSize", ["1", "2"])],
            [(REPLACE, "clumptSubmitId", ["submit 9"])],
            [
                (REPLACE, "clumptPackage", ["hello 1 all", "hello 2 all"]),
                (DELETE, "clumptPackage", ["hello 1 all"]),
            ],
            [(7, "clumptSize", ["1"])],
        )
    ]
    said += [
        await client.modify(dn(77), (REPLACE, "clumptSize", ["1"])),
        await client.modify("no name", (REPLACE, "clumptSize", ["1"])),
        await client.modify(GROUP, (ADD, "member", [OTHER.upper()])),
        await client.modify(GROUP, (ADD, "member", [OTHER])),
        await client.modify(GROUP, (ADD, "member", ["no name"])),
        await client.modify(GROUP, (DELETE, "member", [OTHER])),
        await contents(client, UPDATE),
        await contents(client, GROUP),
    ]
    return said


async def contents(client: Client, name: str) -> Any:
    code, found = await client.search(name, 0)
    return code, {
        key: {kind: sorted(values) for kind, values in entry.items()} for key, entry in found.items()
    }


async def deleting(client: Client) -> list[Any]:
    """What can be deleted, and what cannot."""
    return [
        await client.delete(f"ou=groups,{BASE}"),
        await client.delete(dn(77)),
        await client.delete("no name"),
        await client.delete("o=elsewhere"),
        await client.delete(dn(9)),
        await client.delete(dn(9)),
    ]


async def comparing(client: Client) -> list[Any]:
    """Questions about one value."""
    return [
        await client.compare(*question)
        for question in (
            (UPDATE, "clumptSubmitId", "first"),
            (UPDATE, "clumptSubmitId", "First"),
            (UPDATE, "clumptTarget", "B"),
            (UPDATE, "clumptSize", "x"),
            (UPDATE, "description", "none"),
            (UPDATE, "bogus", "none"),
            (dn(77), "clumptSeq", "77"),
            ("no name", "clumptSeq", "77"),
        )
    ]


FILTERS = (
    present("objectClass"),
    present("clumptSize"),
    present("bogus"),
    equal("clumptSeq", "10"),
    equal("CLUMPTSEQ", "10"),
    equal("clumptSeq", "x"),
    equal("bogus", "1"),
    without(equal("bogus", "1")),
    without(equal("clumptSize", "1")),
    at_least("clumptSeq", "10"),
    at_most("clumptSeq", "10"),
    at_most("clumptSeq", "9223372036854775808"),
    both(at_least("clumptSeq", "2"), at_most("clumptSeq", "99")),
    both(),
    either(),
    either(equal("clumptSeq", "1"), equal("clumptSubmitId", "submit 100")),
    either(equal("clumptSeq", "1"), present("clumptPackage")),
    begins("clumptPackage", "hello"),
    begins("clumptPackage", "Hello"),
    begins("clumptPackage", "", "2"),
    begins("clumptPackage", "he", "lo", end="all"),
    begins("clumptPackage", "", end="all"),
    begins("clumptSeq", "1"),
    equal("objectClass", "clumptUpdate"),
    equal("objectClass", "nothing"),
    equal("clumptTarget", " B "),
    at_least("clumptIssued", "20240101000000Z"),
    at_least("clumptSubmitId", "a"),
    equal("userPassword", "x"),
)


async def searching(client: Client) -> list[Any]:
    """Every kind of filter, scope and selection."""
    said: list[Any] = []
    for filter in FILTERS:
        code, found = await client.search(UPDATES, 1, filter, ["1.1"])
        said.append((code, sorted(found)))
    for base, scope in (
        (BASE, 0),
        (BASE, 1),
        (BASE, 2),
        (UPDATES, 0),
        (UPDATES, 2),
        (f"ou=status,{BASE}", 1),
    ):
        code, found = await client.search(base, scope, attributes=["1.1"])
        # A comma in a name may be written in two ways.
        said.append((code, sorted(name.replace("\\2C", "\\,") for name in found)))
    for chosen in ([], ["*"], ["CN", "member"], ["1.1"], ["bogus"], ["+", "cn"], ["commonName"]):
        code, found = await client.search(GROUP, 0, attributes=chosen)
        kept = {
            kind: sorted(v) for kind, v in found[GROUP].items() if kind in ("cn", "member", "objectClass")
        }
        said.append((code, kept))
    code, found = await client.search(GROUP, 0, attributes=["cn"], typesOnly=1)
    said.append((code, found))
    for base in ("no name", dn(77), "o=elsewhere", f"cn=x,{UPDATE}"):
        answers = await client.answers(base)
        said.append((answers[-1][0].resultCode, answers[-1][0].matchedDN))
    code, found = await client.search(UPDATES, 1, sizeLimit=2)
    said.append((code, len(found)))
    said.append(await client.pages(UPDATES, 2, scope=1, filter=at_least("clumptSeq", "2")))
    said.append(await client.pages(UPDATES, 1, scope=1))
    said.append(await client.pages(UPDATES, 50, scope=1))
    return said


async def odd(client: Client) -> list[Any]:
    """What nobody serves."""
    unknown = [(b"1.2.3.4", True, b"")]
    ignored = [(b"1.2.3.4", False, b"")]
    return [
        await client.code(pureldap.LDAPExtendedRequest(b"1.2.3.4")),
        await client.code(pureldap.LDAPExtendedRequest(WHOAMI), unknown),
        await client.code(pureldap.LDAPExtendedRequest(WHOAMI), ignored),
        (await client.answers(BASE, 0, controls=unknown))[-1][0].resultCode,
        (await client.search("", 0, attributes=["namingContexts"]))[1],
        (await client.search("", 0, attributes=["supportedLDAPVersion"]))[1],
    ]


class SameAnswersTests(SlapdCase):
    """One script, two servers."""

    @deferred
    async def embedded(self) -> Connect:
        """A way to connect to an embedded server of its own."""
        server = Embedded(new_store(PEOPLED), self.authority)
        await server.start()
        self.addCleanup(server.stop)
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", server.port)

        async def connect(subject: str) -> Client:
            client = await connectProtocol(endpoint, Client())
            self.addCleanup(client.close)
            shown = self.authority.issue(f"client-{id(client)}", subject) if subject else None
            self.assertEqual(await client.starttls(tls(self.authority, shown)), 0)
            if subject:
                self.assertEqual(await client.external(), 0)
            return client

        return connect

    @deferred
    async def both_say(self, script: Callable[[Connect], Awaitable[list[Any]]]) -> None:
        server = await self.slapd(more=PEOPLED)
        theirs = await script(lambda subject: self.connect(server, subject))
        ours = await script(await self.embedded())
        self.assertEqual(len(ours), len(theirs))
        different = [(place, a, b) for place, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b]
        self.assertEqual(different, [])

    @deferred
    async def test_binding(self) -> None:
        """Both know and refuse the same clients in the same way."""
        await self.both_say(binding)

    @deferred
    async def test_entries(self) -> None:
        """Both take, refuse, change, delete and find the same."""

        async def script(connect: Connect) -> list[Any]:
            client = await connect("CN=clumpt-admin")
            parts = (adding, changing, comparing, searching, deleting, odd)
            return [answer for part in parts for answer in await part(client)]

        await self.both_say(script)

    @deferred
    async def test_roles(self) -> None:
        """Both refuse each role the same, with the same codes."""

        async def script(connect: Connect) -> list[Any]:
            said: list[Any] = []
            for subject in ("", "O=elsewhere/CN=node001", "CN=clumpt-replicator", "CN=clumpt-submitter"):
                said += (await outcomes(await connect(subject))).items()
            said += (await outcomes(await connect("CN=node001"))).items()
            return said

        await self.both_say(script)
