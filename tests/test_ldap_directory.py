"""The directory in LDAP where servers and entries are not as they should be; the rest is in its contract."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from ldaptor.protocols import pureldap
from twisted.internet.defer import Deferred, succeed
from twisted.logger import LogLevel, capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase

from clumpt.errors import DirectoryRefused, DirectoryUnavailable, IdentityError, SequenceTaken
from clumpt.idset import IdSet
from clumpt.ldap import codec, schema
from clumpt.ldap.connection import Servers
from clumpt.ldap.directory import LdapDirectory
from clumpt.ldap.dn import Tree
from clumpt.ldap.entries import MOST_BY_NAME, Entries
from clumpt.ldap.requests import Attributes
from clumpt.ldap.updates import STRIDE, Updates
from clumpt.ldap.wire import Found
from clumpt.model import Group, GroupName, PeerName, PeerStatus
from clumpt.testing.contracts.directory import SETTINGS, a_peer, an_entry
from tests.ldap_pipe import Farm

DONE = pureldap.LDAPSearchResultDone(resultCode=0)
MISSING = pureldap.LDAPSearchResultDone(resultCode=32)
HANG_UP = "hang up"

#: What a step of a conversation expects, and its answer.
Step = tuple[type, Any]
Search, Add, Modify, Delete = (
    pureldap.LDAPSearchRequest,
    pureldap.LDAPAddRequest,
    pureldap.LDAPModifyRequest,
    pureldap.LDAPDelRequest,
)


def an_ldap_entry(dn: str, attributes: Attributes) -> Any:
    return pureldap.LDAPSearchResultEntry(
        dn, [(kind, values) for kind, values in attributes.items() if values]
    )


def registered(entry: Any) -> list[Any]:
    """The answer to a search that finds just C{entry}."""
    dn = f"clumptSeq={entry.seq},ou=updates,o=clumpt"
    return [an_ldap_entry(dn, codec.update_attributes(entry)), DONE]


def added(code: int) -> list[Any]:
    return [pureldap.LDAPAddResponse(resultCode=code)]


def modified(code: int) -> list[Any]:
    return [pureldap.LDAPModifyResponse(resultCode=code)]


class DirectoryCase(SynchronousTestCase):
    """A directory on one scripted server."""

    def talking(self, *steps: Step) -> LdapDirectory:
        """A directory whose server expects exactly these requests."""
        self.left = list(steps)

        def script(op: Any, controls: Any) -> Sequence[Any]:
            kind, answer = self.left.pop(0)
            self.assertIsInstance(op, kind)
            if answer is HANG_UP:
                self.farm.served["a"][-1].transport.loseConnection()
                return []
            answers: Sequence[Any] = answer
            return answers

        return self.on(script)

    def listing(self, **branches: Sequence[Any]) -> LdapDirectory:
        """A directory whose server has these entries, by branch, whatever is searched for."""

        def script(op: Any, controls: Any) -> Sequence[Any]:
            branch = op.baseObject.split(b",")[0].removeprefix(b"ou=").decode()
            return [*branches.get(branch, ()), DONE]

        return self.on(script)

    def on(self, script: Any) -> LdapDirectory:
        self.farm = Farm()
        uri = self.farm.server("a", script)
        return LdapDirectory(Servers([uri], self.farm.dialler()), Tree("o=clumpt"))


class RegisterTests(DirectoryCase):
    """Registering when something goes wrong at the worst moment (H5)."""

    mine, yours = an_entry(1, "mine"), an_entry(1, "yours")

    def register(self, *steps: Step) -> Deferred[None]:
        waiting = self.talking(*steps).register(self.mine)
        self.assertEqual(self.left, [])
        return waiting

    def test_answer_lost_and_recorded(self) -> None:
        """The answer is lost, but the entry is there, and it is ours: registered."""
        self.successResultOf(self.register((Search, [DONE]), (Add, HANG_UP), (Search, registered(self.mine))))

    def test_answer_lost_and_somebody_was_faster(self) -> None:
        """The answer is lost, and the entry there is somebody else's: taken."""
        waiting = self.register((Search, [DONE]), (Add, HANG_UP), (Search, registered(self.yours)))
        self.failureResultOf(waiting, SequenceTaken)

    def test_answer_lost_and_not_recorded(self) -> None:
        """The answer is lost and nothing is there: try again."""
        waiting = self.register((Search, [DONE]), (Add, HANG_UP), (Search, [DONE]))
        self.failureResultOf(waiting, DirectoryUnavailable)

    def test_lost_a_race(self) -> None:
        """Somebody registers between our look and our adding: taken."""
        waiting = self.register((Search, [DONE]), (Add, added(68)), (Search, registered(self.yours)))
        self.failureResultOf(waiting, SequenceTaken)

    def test_raced_with_oneself(self) -> None:
        """A first try of ours was carried out late: registered."""
        for code in (68, 19):
            self.successResultOf(
                self.register((Search, [DONE]), (Add, added(code)), (Search, registered(self.mine)))
            )

    def test_refused_for_no_reason_to_see(self) -> None:
        """The server will not have it, though nothing is there."""
        waiting = self.register((Search, [DONE]), (Add, added(19)), (Search, [DONE]))
        self.failureResultOf(waiting, SequenceTaken)

    def test_no_right(self) -> None:
        """Who may not submit is told so."""
        self.failureResultOf(self.register((Search, [DONE]), (Add, added(50))), DirectoryRefused)


class PutTests(DirectoryCase):
    """Other writes in bad moments."""

    def test_root_answer_lost(self) -> None:
        """A root document whose answer was lost is looked for: there, not there, or another one."""
        document = codec.document_attributes("root-1", 1, b"mine")
        there = [an_ldap_entry("cn=root-1,ou=trust,o=clumpt", document), DONE]
        directory = self.talking((Add, HANG_UP), (Search, there))
        self.successResultOf(directory.add_root(1, b"mine"))
        for steps in ([(Add, HANG_UP), (Search, there)], [(Add, HANG_UP), (Search, [MISSING])]):
            waiting = self.talking(*steps).add_root(1, b"yours")
            self.failureResultOf(waiting, DirectoryUnavailable)
            self.assertEqual(self.left, [])

    def test_created_meanwhile(self) -> None:
        """An entry that somebody creates between our look and our adding is replaced."""
        directory = self.talking((Search, [MISSING]), (Add, added(68)), (Modify, modified(0)))
        self.successResultOf(directory.put_group(Group(GroupName("all"))))
        self.assertEqual(self.left, [])

    def test_status_created_meanwhile(self) -> None:
        """Likewise a status; the first report creates the entry."""
        for steps in (
            [(Modify, modified(0))],
            [(Modify, modified(32)), (Add, added(0))],
            [(Modify, modified(32)), (Add, added(68)), (Modify, modified(0))],
        ):
            directory = self.talking(*steps)
            self.successResultOf(directory.report(PeerStatus(PeerName("node1"))))
            self.assertEqual(self.left, [])

    def test_member_gone_meanwhile(self) -> None:
        """Taking a peer out of a group that it just left, or that just vanished, is no failure."""
        group = an_ldap_entry("cn=all,ou=groups,o=clumpt", {"cn": [b"all"]})
        for code in (16, 32):
            deleted = [pureldap.LDAPDelResponse(resultCode=32)]
            directory = self.talking(
                (Search, [group, DONE]), (Modify, modified(code)), (Delete, deleted), (Delete, deleted)
            )
            self.successResultOf(directory.remove_peer(PeerName("node1")))
            self.assertEqual(self.left, [])


class SettingsTests(DirectoryCase):
    """The base entry."""

    def test_no_base(self) -> None:
        """Where there is no Clumpt, the error asks about the base."""
        strange = an_ldap_entry("o=clumpt", {"o": [b"clumpt"]})
        for answer in ([MISSING], [strange, DONE]):
            error = self.failureResultOf(self.talking((Search, answer)).settings(), DirectoryRefused).value
            self.assertIn("clumptconf", str(error))

    def test_newer(self) -> None:
        """A directory of a newer Clumpt is not guessed at."""
        attributes = dict(codec.settings_attributes(SETTINGS))
        attributes["clumptSchemaVersion"] = [b"%d" % (schema.VERSION + 1)]
        directory = self.talking((Search, [an_ldap_entry("o=clumpt", attributes), DONE]))
        error = self.failureResultOf(directory.settings(), DirectoryRefused).value
        self.assertIn("upgrade", str(error))

    def test_initialise_elsewhere(self) -> None:
        """A base that is somebody else's is left alone."""
        foreign = an_ldap_entry("o=clumpt", {"objectClass": [b"organization"]})
        directory = self.talking((Add, added(68)), (Search, [foreign, DONE]))
        self.failureResultOf(directory.initialise(SETTINGS), DirectoryRefused)
        self.assertEqual(self.left, [])

    def test_initialise_another_deployment(self) -> None:
        """So is the base of another deployment."""
        there = dict(codec.settings_attributes(SETTINGS))
        there.update(objectClass=[b"clumptDeployment"], clumptDeployment=[b"other"])
        found = [an_ldap_entry("o=clumpt", there), DONE]
        branches = [(Add, added(68))] * 5
        directory = self.talking((Add, added(68)), (Search, found), *branches, (Search, found))
        self.failureResultOf(directory.initialise(SETTINGS), IdentityError)
        self.assertEqual(self.left, [])


class SchemaTests(DirectoryCase):
    """What a server knows of our schema."""

    ROOT = an_ldap_entry("", {"subschemaSubentry": [b"cn=Subschema"]})

    def problems(self, root: Sequence[Any], *more: Sequence[Any]) -> Sequence[str]:
        directory = self.talking((Search, root), *((Search, answer) for answer in more))
        return self.successResultOf(directory.verify_schema())

    def with_definitions(self, change: Callable[[str], str]) -> Sequence[str]:
        ours = schema.parse(schema.text())
        attributes = [
            change(f"( {one.oid} NAME '{one.names[0]}' SYNTAX 1 )") for one in ours.attributes.values()
        ]
        classes = [
            change(f"( {one.oid} NAME ( '{one.name}' 'x' ) MAY ( {' $ '.join(one.must | one.may)} ) )")
            for one in ours.classes.values()
        ]
        subschema = {
            "attributeTypes": [text.encode() for text in attributes],
            "objectClasses": [text.encode() for text in classes],
        }
        return self.problems([self.ROOT, DONE], [an_ldap_entry("cn=Subschema", subschema), DONE])

    def test_complete(self) -> None:
        """There is nothing to say if everything is there."""
        self.assertEqual(self.with_definitions(lambda text: text), [])

    def test_lacking(self) -> None:
        """Each missing or different definition is named."""
        self.assertIn(
            "attribute type clumptSeq is missing",
            self.with_definitions(lambda text: text.replace("NAME 'clumptSeq'", "NAME 'other'")),
        )
        self.assertIn(
            "object class clumptPeer is missing",
            self.with_definitions(lambda text: text.replace("'clumptPeer'", "'other'")),
        )
        (old,) = self.with_definitions(
            lambda text: text.replace("clumptrack", "cn") if "'clumptPeer'" in text else text
        )
        self.assertIn("clumptPeer is older", old)
        self.assertIn("lacks clumptRack", old)
        (other,) = self.with_definitions(
            lambda text: text.replace("( ", "( 9", 1) if "'clumptRack'" in text else text
        )
        self.assertIn("clumptRack is not Clumpt's", other)

    def test_silent(self) -> None:
        """A server that does not tell is a problem too."""
        self.assertEqual(len(self.problems([DONE])), 1)
        self.assertEqual(len(self.problems([self.ROOT, DONE], [MISSING])), 1)


class MalformedTests(DirectoryCase):
    """Entries that somebody made by hand, and badly."""

    def peer(self, name: str, dn: str = "", **changes: Any) -> Any:
        attributes = {**codec.peer_attributes(a_peer(name)), **changes}
        return an_ldap_entry(dn or f"cn={name},ou=peers,o=clumpt", attributes)

    def complaints(self, logs: Any) -> list[str]:
        return [eventAsText(event) for event in logs if event["log_level"] is LogLevel.warn]

    def test_peers(self) -> None:
        """A malformed peer is left out, said so once, and the others are there."""
        bad = self.peer("bad", clumptAddress=[b"nowhere\n\x1b"])
        directory = self.listing(peers=[self.peer("a"), bad, self.peer("z")])
        with capturedLogs() as logs:
            for _ in range(3):
                self.assertEqual(self.successResultOf(directory.peers()), [a_peer("a"), a_peer("z")])
        (complaint,) = self.complaints(logs)
        self.assertIn("cn=bad,ou=peers,o=clumpt", complaint)

    def test_members(self) -> None:
        """Members that are no peers do not matter; the spelling of a member does not either."""
        members = [b"CN=A, ou=Peers,o=clumpt", b"cn=x,dc=elsewhere", b"junk", b"\xff"]
        group = an_ldap_entry("cn=all,ou=groups,o=clumpt", {"cn": [b"all"], "member": members})
        odd = an_ldap_entry("cn=b,cn=c,ou=groups,o=clumpt", {"cn": [b"b"], "member": members})
        directory = self.listing(peers=[self.peer("a")], groups=[group, odd])
        with capturedLogs():
            self.assertEqual(self.successResultOf(directory.peers()), [a_peer("a", GroupName("all"))])

    def test_the_rest(self) -> None:
        """So it is with documents, groups, updates and statuses."""
        root = an_ldap_entry("cn=root-1,ou=trust,o=clumpt", codec.document_attributes("root-1", 1, b"one"))
        group = an_ldap_entry("cn=all,ou=groups,o=clumpt", {"cn": [b"all"]})
        two = {"clumptInstaller": [b"\xff"]}
        status = PeerStatus(PeerName("a"))
        directory = self.listing(
            trust=[an_ldap_entry("cn=x,ou=trust,o=clumpt", {"cn": [b"x"]}), root],
            groups=[an_ldap_entry("cn=bad group!,ou=groups,o=clumpt", {}), group]
            + [an_ldap_entry("cn=b,ou=groups,o=clumpt", two)],
            updates=[an_ldap_entry("clumptSeq=1,ou=updates,o=clumpt", {"clumptSeq": [b"1"]})]
            + registered(an_entry(2))[:1],
            status=[
                an_ldap_entry("cn=b,ou=status,o=clumpt", {"clumptLastSeen": [b"20230101000000Z"]}),
                an_ldap_entry("cn=c,ou=status,o=clumpt", {"cn": [b"c"]}),
                an_ldap_entry("cn=a,ou=status,o=clumpt", codec.status_attributes(status)),
            ],
        )
        with capturedLogs() as logs:
            self.assertEqual(self.successResultOf(directory.root_documents()), [b"one"])
            self.assertEqual(self.successResultOf(directory.groups()), [Group(GroupName("all"))])
            envelopes = self.successResultOf(directory.updates(IdSet.upto(2)))
            self.assertEqual(envelopes, [an_entry(2).envelope])
            self.assertEqual(self.successResultOf(directory.statuses()), {"a": status})
        self.assertEqual(len(self.complaints(logs)), 5)

    def test_many_names(self) -> None:
        """Of very many peers by name all are read at once, and those not asked for dropped."""
        names = [f"node{n}" for n in range(MOST_BY_NAME + 1)]
        statuses = [
            an_ldap_entry(
                f"cn={name},ou=status,o=clumpt", codec.status_attributes(PeerStatus(PeerName(name)))
            )
            for name in ("node1", "other", "node7")
        ]
        directory = self.listing(status=statuses)
        found = self.successResultOf(directory.statuses([PeerName(name) for name in names]))
        self.assertEqual(list(found), ["node1", "node7"])
        self.assertEqual(len(self.farm.asked("a")), 1)


class _FakeServers:
    """Only what looking for the head needs: a server with these seqs, that answers in any order."""

    def __init__(self, seqs: Collection[int], order: Callable[[int], Any]) -> None:
        self.seqs = seqs
        self.order = order
        self.looks = 0

    async def anywhere(self, action: Any) -> Any:
        return await action(self)

    def some(self, base: str, wanted: Any, attributes: Any, most: int) -> Deferred[list[Found]]:
        self.looks += 1
        if isinstance(wanted, pureldap.LDAPFilter_or):
            # The real thing would be cut off, with answers lost.
            assert len(wanted.data) <= most
            values = {int(one.assertionValue.value) for one in wanted.data}
            fitting = sorted(values & set(self.seqs), key=self.order)
        else:
            first = int(wanted.assertionValue.value)
            fitting = sorted((seq for seq in self.seqs if seq >= first), key=self.order)
        return succeed([Found(f"clumptSeq={seq}", {"clumptseq": [b"%d" % seq]}) for seq in fitting[:most]])


class HeadTests(SynchronousTestCase):
    """LDAP cannot tell the highest seq; it can be found."""

    def head(self, updates: Updates) -> int:
        return self.successResultOf(Deferred.fromCoroutine(updates.head()))

    def updates(self, servers: Any) -> Updates:
        return Updates(Entries(servers, Tree("o=clumpt")))

    @given(
        st.integers(0, 3000),
        st.sets(st.integers(1, 3000), max_size=5),
        st.sampled_from([lambda seq: seq, lambda seq: -seq, lambda seq: (seq * 7919) % 3001]),
        st.integers(0, 4000),
    )
    def test_any(self, head: int, gone: set[int], order: Any, seen: int) -> None:
        """Whatever was seen before, whatever is missing in between, the highest is found, in few looks."""
        seqs = [seq for seq in range(1, head + 1) if seq not in gone]
        servers = _FakeServers(seqs, order)
        updates = self.updates(servers)
        updates._seen = seen
        self.assertEqual(self.head(updates), max(seqs, default=0))
        self.assertLessEqual(servers.looks, 20)

    def test_one_look(self) -> None:
        """While little changes, one look is enough."""
        servers = _FakeServers(range(1, 10_001), lambda seq: seq)
        updates = self.updates(servers)
        self.assertEqual(self.head(updates), 10_000)
        servers.looks = 0
        servers.seqs = range(1, 10_000 + STRIDE - 1)
        self.assertEqual(self.head(updates), 10_000 + STRIDE - 2)
        self.assertEqual(servers.looks, 1)

    def test_set_back(self) -> None:
        """A directory that was set back shows it (R13)."""
        servers = _FakeServers(range(1, 501), lambda seq: seq)
        updates = self.updates(servers)
        self.assertEqual(self.head(updates), 500)
        servers.seqs = range(1, 301)
        self.assertEqual(self.head(updates), 300)
        servers.seqs = ()
        self.assertEqual(self.head(updates), 0)
