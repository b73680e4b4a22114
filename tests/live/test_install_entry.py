"""The helper as it is shipped: its own command, real signatures, the administrators' own file."""

import sys
from pathlib import Path

from twisted.internet import reactor

from clumpt.install.runner import HelperInstaller
from clumpt.model import Action, Entry, GroupName, State
from clumpt.testing.keys import Deployment
from tests.live.installcase import InstallCase

# As the console script does it, but from this checkout, wherever the daemon's working folder is.
COMMAND = (
    sys.executable,
    "-c",
    f"import sys; sys.path[0] = {str(Path(__file__).resolve().parents[2])!r}\n"
    "from clumpt.apps.install_helper import main; sys.exit(main())",
)


class EntryTests(InstallCase):
    """C{clumpt-install-helper} runs what is signed, and nothing else."""

    def setUp(self) -> None:
        super().setUp()
        self.deployment = Deployment()
        self.roots = [self.deployment.root_envelope]

    def signed(self, deployment: Deployment) -> Entry:
        return deployment.sign(
            action=Action.RUN,
            installer="command",
            argv=("/bin/sh", "-c", 'echo x >> "$CLUMPT_ROOT/ran"'),
            groups=frozenset({GroupName("all")}),
        )

    def shipped(self, *options: str) -> HelperInstaller:
        return HelperInstaller(
            reactor, reactor, self.spool, self.rules(), lambda: self.roots, (*COMMAND, *options)
        )

    def config(self, *lines: str) -> str:
        root = self.folder / "root.json"
        root.write_bytes(self.deployment.root_envelope)
        path = self.folder / "clumpt.ini"
        known = ["[directory]", "uris = ldap://localhost", "[trust]", f"root = {root}"]
        path.write_text("\n".join([*known, "[install]", f"root = {self.root}", *lines, ""]))
        return str(path)

    async def test_signed(self) -> None:
        """A signed update runs, with the roots of the job or those of the administrators."""
        self.check(await self.shipped().run(self.signed(self.deployment), 1, []), State.DONE, 0)
        config = self.config("allow_command = yes")
        outcome = await self.shipped("--config", config).run(self.signed(self.deployment), 1, [])
        self.check(outcome, State.DONE, 0)
        self.assertEqual(self.ran(), 2)

    async def test_not_signed(self) -> None:
        """An update that other keys signed is refused."""
        forged = self.signed(Deployment("other"))
        self.check(await self.shipped().run(forged, 1, []), State.HELD, None, "refused: ")
        self.assertEqual(self.ran(), 0)

    async def test_daemon_lies(self) -> None:
        """With a file of the administrators, a job cannot bring its own roots or its own rules."""
        evil = Deployment("evil")
        self.roots = [evil.root_envelope]
        installer = self.shipped("--config", self.config("allow_command = yes"))
        self.check(await installer.run(self.signed(evil), 1, []), State.HELD, None, "refused: ")
        self.roots = []
        installer = self.shipped("--config", self.config("allow_command = no"))
        outcome = await installer.run(self.signed(self.deployment), 2, [])
        self.check(outcome, State.HELD, None, "installer command is not allowed on this node")
        self.assertEqual(self.ran(), 0)

    async def test_bad_configuration(self) -> None:
        """A helper that cannot read its file runs nothing, and says why."""
        path = Path(self.config("allow_command = perhaps"))
        installer = HelperInstaller(
            reactor,
            reactor,
            self.spool,
            self.rules(),
            lambda: self.roots,
            (*COMMAND, "--config", str(path)),
            pauses=(0.0,),
        )
        outcome = await installer.run(self.signed(self.deployment), 1, [])
        self.check(outcome, State.HELD, None, "the install helper ended with 1: ")
        self.assertIn("allow_command", outcome.reason)
