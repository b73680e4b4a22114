"""clumptconf and a real OpenLDAP, which is set up with nothing but what clumptconf init made."""

from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.utils import getProcessOutputAndValue

from clumpt.aio import deferred
from clumpt.testing.certificates import Identity
from clumpt.testing.slapd import Slapd, programs
from tests.live.test_conf import ConfCase


class _Made:
    """The certificate that init made, where another authority would issue one."""

    def __init__(self, folder: Path) -> None:
        self.certificate = folder / "ca.pem"
        self._folder = folder

    def issue(self, name: str, who: str) -> Identity:
        return Identity(self._folder / "server.pem", self._folder / "server-key.pem")


class SlapdConfTests(ConfCase):
    """As the manual says."""

    @deferred
    async def load(self, database: Path) -> None:
        """Load what lies in clumpt/directory, as an administrator does; only the folder is another one."""
        made = self.etc / "clumpt/directory"
        text = (made / "slapd.ldif").read_text()
        (made / "slapd.ldif").write_text(text.replace("/var/lib/ldap/clumpt", str(database)))
        _, slapadd = programs()
        for name in ("config", "main", "status"):
            (database / name).mkdir(parents=True)
        config = ("-F", str(database / "config"))
        for words in (
            ("-n", "0", "-l", "slapd.ldif"),
            ("-b", "ou=status,o=clumpt", "-l", "status.ldif"),
            ("-b", "o=clumpt", "-l", "base.ldif"),
        ):
            out, err, status = await getProcessOutputAndValue(
                slapadd, [*config, *words], path=str(made), reactor=reactor
            )
            self.assertEqual(status, 0, (out + err).decode())

    @deferred
    async def test_story(self) -> None:
        """From nothing to three nodes, by certificates alone, and all is found good."""
        await self.init("--offline")
        database = self.folder / "ldap"
        await self.load(database)
        authority: Any = _Made(self.etc / "clumpt/directory")
        server = Slapd(reactor, database, authority, tls_port=self.port)
        await server.start()
        self.addCleanup(server.kill)
        await self.run_conf("publish")
        await self.run_conf("publish")
        await self.run_conf("add", "n[1-3]", "-g", "all", "-a", "127.0.0.[1-3]", "-y")
        await self.run_conf("set-groups", "n1", "all,gpu", "-y")
        await self.run_conf("remove", "n2", "-y")
        out, _ = await self.run_conf("list", "--fold")
        self.assertEqual(out, "n[1,3]\n")
        out, _ = await self.run_conf("check")
        self.assertEqual([line for line in out.splitlines() if line.startswith("fail")], [])
