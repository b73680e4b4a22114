"""A cluster of machines that boot, set up as docs/cluster.md says, and what they do to running installs."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any, ClassVar
from unittest import TestCase

from tests.booted.machines import Machine, machines, possible, until

#: Seconds that the slow package needs to be installed.
SLOW = 8


class ServiceTests(TestCase):
    """The services under systemd."""

    stack: ClassVar[ExitStack]
    admin: ClassVar[Machine]
    peers: ClassVar[list[Machine]]
    packages: ClassVar[int] = 0

    @classmethod
    def setUpClass(cls) -> None:
        """Two nodes in one group, their directory and their administrator on a third machine."""
        if why := possible():
            raise OSError(why)
        cls.stack = ExitStack()
        try:
            cls.admin, cls.peers = cls.stack.enter_context(machines(2))
            cls.set_up()
        except BaseException:
            cls.stack.close()
            raise

    @classmethod
    def tearDownClass(cls) -> None:
        """Switch everything off."""
        cls.stack.close()

    @classmethod
    def set_up(cls) -> None:
        """As docs/cluster.md says."""
        run = cls.admin.run
        directory = f"ldaps://{cls.admin.host.address}"
        run(f"clumptconf init --deployment-name site --directory-uri {directory} --offline")
        run("systemctl enable --now clumpt-directory && clumptconf publish")
        for peer in cls.peers:
            run(f"clumptconf add {peer.name} --groups all --address {peer.host.address} --yes")
        for peer in cls.peers:
            bundle = cls.admin.root / f"etc/clumpt/nodes/{peer.name}.tar"
            peer.run("tar -xf - -C /etc && systemctl enable --now clumptd", bundle.read_bytes())

    def package(self, script: str = "") -> str:
        """A new package on the administrator's machine, with a script that runs when it is configured."""
        type(self).packages += 1
        name = f"sample{self.packages}"
        control = (
            f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: N <n@example.org>\nDescription: x\n"
        )
        self.admin.run(
            f"mkdir -p {name}/DEBIAN && cd {name}/DEBIAN && printf '#!/bin/sh\\n{script}\\n' >postinst"
            f" && chmod 755 postinst && cat >control && dpkg-deb -Znone -b .. ../../{name}.deb",
            control.encode(),
        )
        return f"{name}.deb"

    def submit(self, file: str, *words: str) -> int:
        """Submit it to all, or as C{words} say; returns its number."""
        self.admin.run(" ".join(["clumpt", file, "--group", "all", "--yes", *words]))
        newest: int = self.said("list")["updates"][-1]["seq"]
        return newest

    def said(self, *words: str) -> Any:
        """What C{clumpt} says as JSON, whatever its status."""
        return json.loads(self.admin.run(" ".join(["clumpt", *words, "--json || true"])))

    def amid(self) -> int:
        """A slow update that every node has begun to install, and notes in /root/ran; returns its number."""
        for peer in self.peers:
            peer.run("rm -f /root/ran")
        seq = self.submit(self.package(f"echo >>/root/ran; sleep {SLOW}"))
        for peer in self.peers:
            until(lambda peer=peer: peer.tries("test -e /root/ran"), "it does not begin")
        return seq

    def done(self, seq: int) -> None:
        """It is done on all nodes that it is for, in time."""
        until(lambda: self.said("status", str(seq))["over"], "it is not over")
        counts = self.said("status", str(seq))["counts"]
        self.assertEqual({stage for stage, number in counts.items() if number}, {"done"})

    def runs(self, *peers: Machine) -> list[int]:
        """How often the slow script began, on each."""
        return [int(peer.run("wc -l </root/ran")) for peer in peers]

    def test_up(self) -> None:
        """All is well by the tools' own judgement, once the nodes have found each other, and by systemd's."""
        until(lambda: self.admin.tries("clumptconf check"), "something is wrong")
        for peer in self.peers:
            self.assertIn(f"{peer.name} is up", peer.run("systemctl show clumptd --property=StatusText"))

    def test_stopped_amid(self) -> None:
        """A daemon that is stopped, killed or restarted does not touch a run, and takes in its result."""
        seq = self.amid()
        first, second = self.peers
        first.run("systemctl stop clumptd")
        second.run("systemctl kill --signal=KILL clumptd")
        self.assertTrue(first.tries("pgrep dpkg") and second.tries("pgrep dpkg"))
        first.run("systemctl restart clumptd && systemctl reload clumptd")
        self.done(seq)
        self.assertEqual(self.runs(first, second), [1, 1])

    def test_own_upgrade(self) -> None:
        """A package may restart the daemon that installs it."""
        before = [peer.run("systemctl show clumptd --property=MainPID") for peer in self.peers]
        self.done(self.submit(self.package("systemctl --no-block try-restart clumptd"), "--wait", "all"))
        after = [peer.run("systemctl show clumptd --property=MainPID") for peer in self.peers]
        self.assertTrue(all(old != new for old, new in zip(before, after, strict=True)))

    def test_power_off_amid(self) -> None:
        """A machine that is shut down waits for the run; the next boot takes in its result."""
        seq = self.amid()
        first, _ = self.peers
        self.assertGreater(first.power_off(), SLOW / 2)
        first.boot()
        self.done(seq)
        self.assertEqual(self.runs(first), [1])

    def test_reboot(self) -> None:
        """A package may have the machine boot anew: it does so once, and the package is done."""
        first, _ = self.peers
        first.run("rm -f /root/ran")
        seq = self.submit(self.package("echo >>/root/ran; systemctl reboot"), "--nodes", first.name)
        first.goes_down()
        first.boot()
        self.done(seq)
        self.assertEqual(self.runs(first), [1])

    def test_power_loss_amid(self) -> None:
        """After a power failure in the middle the package is repaired, and installed once more."""
        seq = self.amid()
        first, second = self.peers
        first.power_loss()
        self.admin.run("systemctl stop clumpt-directory")
        self.addCleanup(self.admin.run, "systemctl start clumpt-directory")
        first.boot()
        until(lambda: first.tries("systemctl is-active clumptd"), "it does not come up")
        self.admin.run("systemctl start clumpt-directory")
        self.done(seq)
        self.assertTrue(
            first.tries(f"dpkg --status sample{self.packages} | grep -q '^Status: install ok installed'")
        )
        self.assertEqual(self.runs(second), [1])
