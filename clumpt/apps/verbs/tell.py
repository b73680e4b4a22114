"""C{clumpt history}, C{clumpt info} and C{clumpt log}: what was done, by whom, and what it printed."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.usage import UsageError

from clumpt.agent.visitor import Visitor
from clumpt.aio import deferred
from clumpt.apps.desk import Desk
from clumpt.apps.display import about
from clumpt.apps.following import targets
from clumpt.apps.oneshot import Status
from clumpt.apps.screen import size, when
from clumpt.apps.sources import lines as sources_lines
from clumpt.apps.sources import plain as sources_plain
from clumpt.apps.sources import sources
from clumpt.apps.verbs.words import VerbOptions, whole
from clumpt.errors import LinkLost, NotHere, NothingMatched
from clumpt.idset import IdSet
from clumpt.model import Entry, Peer, PeerName, Seq, is_name
from clumpt.progress import Progress, progress, retries_among
from clumpt.trust.dsse import Envelope


class HistoryOptions(VerbOptions):
    """C{clumpt history [--node N]}."""

    synopsis = "history [--node NODE] [options]"
    longdesc = "What was submitted, by whom and why; or what became of it on one node."
    optParameters: list[list[Any]] = [
        ["node", None, None, "Only this node, and how each update ended on it."],
        ["number", "n", 50, "How many of the newest updates.", whole],
    ]

    def act(self, desk: Desk) -> Deferred[int]:
        """Look."""
        if self["node"]:
            return node_history(desk, self["node"], self["number"], bool(self["json"]))
        return history(desk, self["number"], bool(self["json"]))


async def _newest(desk: Desk, most: int) -> list[Entry]:
    head = await desk.directory.head()
    ids = IdSet([(max(1, head - most + 1), head)]) if head else IdSet()
    return list((await desk.entries(ids)).values())


@deferred
async def history(desk: Desk, most: int, for_programs: bool) -> int:
    """Show the newest C{most} updates and who submitted them; fires with the exit status."""
    found = [(entry.update, await signers(desk, entry)) for entry in await _newest(desk, most)]
    if for_programs:
        updates = [{**about(update), "signed_by": names} for update, names in found]
        desk.screen.json("history", {"updates": updates})
    else:
        rows = [
            (
                update.seq,
                when(update.issued),
                ",".join(names),
                update.action.value,
                update.label,
                ",".join(sorted(update.groups)),
                update.why,
            )
            for update, names in found
        ]
        desk.screen.table(("SEQ", "SUBMITTED", "BY", "ACTION", "WHAT", "GROUPS", "WHY"), rows)
    return Status.DONE


@deferred
async def node_history(desk: Desk, node: str, most: int, for_programs: bool) -> int:
    """Show how the newest C{most} updates ended on C{node}, as far as they concern it."""
    peer = await find_peer(desk, node)
    [target] = targets([peer], await desk.settings(), await desk.keyring())
    status = (await desk.directory.statuses([peer.name])).get(peer.name)
    updates = [entry.update for entry in await _newest(desk, most)]
    retries, now = retries_among(updates), desk.wall()
    found = [
        (update, progress(update, target, status, retries, now))
        for update in updates
        if update.concerns(peer.name, peer.groups)
    ]
    if for_programs:
        rows = [{**about(update), **_plain(stand)} for update, stand in found]
        desk.screen.json("node-history", {"node": peer.name, "updates": rows})
    else:
        desk.screen.table(
            ("SEQ", "SUBMITTED", "WHAT", "STAGE", "WHY"),
            [
                (update.seq, when(update.issued), update.label, stand.stage.value, _why(stand))
                for update, stand in found
            ],
        )
    return Status.DONE


def _plain(stand: Progress) -> dict[str, Any]:
    return {
        "stage": stand.stage.value,
        "reason": stand.reason,
        "code": stand.code,
        "at": stand.at,
        "by": stand.by,
    }


def _why(stand: Progress) -> str:
    said = [when(stand.at)] if stand.at else []
    said += [f"exit status {stand.code}"] if stand.code else []
    said += [stand.reason] if stand.reason else []
    said += [f"by update {stand.by}"] if stand.by else []
    return ", ".join(said)


@deferred
async def signers(desk: Desk, entry: Entry) -> list[str]:
    """What people call the keys that signed C{entry}."""
    labels = {key.keyid: key.label for key in (await desk.keyring()).root.keys}
    keyids = sorted(Envelope.decode(entry.envelope).signatures)
    return [labels.get(keyid, "") or keyid[:8] for keyid in keyids]


@deferred
async def find_peer(desk: Desk, node: str) -> Peer:
    """The directory's entry of C{node}; fails with L{NothingMatched}."""
    peer = await desk.directory.peer(PeerName(node)) if is_name(node) else None
    if peer is None:
        raise NothingMatched(f"there is no peer {node}; clumptconf list shows those that are")
    return peer


def _seq(text: str) -> Seq:
    try:
        return whole(text)
    except ValueError:
        raise UsageError("name the update by its number; clumpt list shows them") from None


class InfoOptions(VerbOptions):
    """C{clumpt info SEQ}."""

    synopsis = "info SEQ [options]"
    longdesc = "All that was signed about an update, and from whom the nodes got its packages."

    def parseArgs(self, seq: str = "") -> None:
        """Take the id."""
        self.seq = _seq(seq)

    def act(self, desk: Desk) -> Deferred[int]:
        """Look."""
        return info(desk, self.seq, bool(self["json"]))


@deferred
async def info(desk: Desk, seq: Seq, for_programs: bool) -> int:
    """Show update C{seq}; fires with the exit status."""
    entry = await desk.entry(seq)
    names = await signers(desk, entry)
    fields = {**about(entry.update), "signed_by": names, "digest": entry.digest}
    came = await sources(desk, entry.update)
    if for_programs:
        desk.screen.json("info", {**fields, "sources": sources_plain(came, by_node=True)})
        return Status.DONE
    fields["issued"] = when(entry.update.issued)
    fields["not_after"] = when(entry.update.not_after) if entry.update.not_after else ""
    packages = fields.pop("packages")
    lines = [f"{key}: {_shown(value)}" for key, value in fields.items() if value not in ("", 0, [])]
    for package in packages:
        lines.append(
            f"package: {package['name']} {package['version']} ({package['arch']}), {package['file']},"
            f" {size(package['size'])}, sha256 {package['sha256']}"
        )
    desk.screen.write("\n".join([*lines, *sources_lines(came)]))
    return Status.DONE


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


class LogOptions(VerbOptions):
    """C{clumpt log SEQ NODE}."""

    synopsis = "log SEQ NODE [options]"
    longdesc = "What the newest run of an update printed on a node, asked of the node itself."

    def parseArgs(self, seq: str = "", node: str = "") -> None:
        """Take the id and the node."""
        self.seq, self.node = _seq(seq), node
        if not node:
            raise UsageError("name the node after the number of the update")

    def act(self, desk: Desk) -> Deferred[int]:
        """Ask the node."""
        return log(desk, self.seq, self.node, bool(self["json"]))


@deferred
async def log(desk: Desk, seq: Seq, node: str, for_programs: bool) -> int:
    """Show what update C{seq} printed on C{node}; fires with the exit status."""
    peer = await find_peer(desk, node)
    network = desk.network(False)
    await network.start(Visitor(await desk.greeting(), await desk.keyring()))
    try:
        link = await network.dial(peer.name, peer.addresses)
        output = (await link.output(seq)).decode("utf-8", "replace")
    except (NotHere, LinkLost) as wrong:
        raise NothingMatched(f"{node} gives no output of update {seq}: {wrong}") from wrong
    finally:
        await network.stop()
    if for_programs:
        desk.screen.json("log", {"seq": seq, "node": node, "output": output})
    else:
        desk.screen.write(output.expandtabs().replace("\r\n", "\n").removesuffix("\n"))
    return Status.DONE
