"""What is executed for an update, and what never is."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt.install.command import Command, Rules, command_for, environment_for, timeout_for
from clumpt.install.managers import MANAGERS
from clumpt.model import Action, Outcome, Package, State
from clumpt.pieces import Pieces
from tests.installing import ORIGIN, an_update

EVERYTHING = frozenset({*MANAGERS, "command"})
RULES = Rules(EVERYTHING)
PRIVATE = Rules(EVERYTHING, root="/srv/peer7")
DEB = ("/spool/stage/1-1/hello.deb",)
TWO = ("/spool/stage/1-1/a", "/spool/stage/1-1/b")
#: What attackers write where a word is expected.
EVIL = (
    "; rm -rf /",
    "$(reboot)",
    "`reboot`",
    "--option=Dpkg::Pre-Invoke::=reboot",
    "-oDpkg::Pre-Invoke::=reboot",
    "-o",
    "--pre-invoke=reboot",
    "--status-logger=reboot",
    "--admindir=/tmp",
    "--root=/tmp",
    "--force-script-chrootless",
    "--to-command=reboot",
    "--checkpoint-action=exec=reboot",
    "--use-compress-program=reboot",
    "--index-url=http://evil.example",
    "--setopt=pluginpath=/tmp",
    "--define=_x%(reboot)",
    "--pipe=reboot",
    "{packages}",
    "{targets}",
    "../../etc/passwd",
    "/etc/passwd",
    "",
)


def command(*args: Any, packages: Sequence[str] = DEB, rules: Rules = RULES, **more: Any) -> Command:
    made = command_for(an_update(*args, **more), rules, packages)
    assert isinstance(made, Command), made
    return made


def refusal(*args: Any, packages: Sequence[str] = DEB, rules: Rules = RULES, **more: Any) -> Outcome:
    made = command_for(an_update(*args, **more), rules, packages)
    assert isinstance(made, Outcome), made
    assert made.code is None
    return made


class WordsTests(SynchronousTestCase):
    """The exact words that are executed (H3)."""

    def test_install(self) -> None:
        """Each installer gets its own words, then those of the update, then the packages."""
        forces = ("--force-confold", "--force-confdef")
        expected = {
            "dpkg": ("/usr/bin/dpkg", *forces, "--install", *TWO),
            "rpm": ("/usr/bin/rpm", "--upgrade", "--replacepkgs", "--oldpackage", *TWO),
            "dnf": ("/usr/bin/dnf", "--assumeyes", "--setopt=exit_on_lock=True", "install", *TWO),
        }
        for installer, words in expected.items():
            self.assertEqual(command(installer, packages=TWO).runs, (words,))

    def test_every_installer(self) -> None:
        """Whatever the installer, the program is absolute and the packages are its last words."""
        for name in MANAGERS:
            for rules in (RULES, PRIVATE):
                made = command_for(an_update(name), rules, DEB)
                if isinstance(made, Command):
                    self.assertTrue(made.program.startswith("/"))
                    self.assertEqual(made.runs[-1][-1:], DEB)
                    self.assertFalse([word for run in made.runs for word in run if "{" in word])

    def test_remove(self) -> None:
        """Packages are removed by name."""
        made = command("dpkg", Action.REMOVE, targets=("hello",), packages=())
        self.assertEqual(made.runs[0][-2:], ("--remove", "hello"))

    def test_apt_waits(self) -> None:
        """apt is told how long to wait for its lock, which is not at all otherwise."""
        made = command("apt", rules=Rules(EVERYTHING, lock_timeout=77))
        self.assertIn("--option=DPkg::Lock::Timeout=77", made.runs[0])

    def test_private_root(self) -> None:
        """In a private root everything that is written lies below it, the log and the repair included."""
        made = command("dpkg", rules=PRIVATE)
        for words in (made.runs[0], made.repair):
            self.assertIn("--root=/srv/peer7", words)
            self.assertIn("--log=/srv/peer7/dpkg.log", words)
        self.assertIn("--target=/srv/peer7", command("pip", rules=PRIVATE).runs[0])
        self.assertIn("--directory=/srv/peer7", command("tar", rules=PRIVATE).runs[0])

    def test_no_private_root(self) -> None:
        """An installer that cannot work in a private root says so, and never touches the real one."""
        self.assertIn("private root /srv/peer7", refusal("apt", rules=PRIVATE).reason)
        self.assertIs(refusal("apt", rules=PRIVATE).state, State.HELD)

    def test_repair(self) -> None:
        """What apt left half done is configured by dpkg."""
        self.assertEqual(
            command("apt").repair,
            ("/usr/bin/dpkg", "--force-confold", "--force-confdef", "--configure", "-a"),
        )

    def test_tar(self) -> None:
        """tar runs once for each package, after a look at the names within."""
        made = command("tar", packages=TWO)
        self.assertEqual([run[-2:] for run in made.runs], [("--file", path) for path in TWO])
        self.assertEqual([run[-1] for run in made.checks], list(TWO))

    def test_own_program(self) -> None:
        """The node may name another program for an installer, with words of its own."""
        rules = Rules(EVERYTHING, programs={"pip": ("/opt/venv/bin/python", "-m", "pip")})
        self.assertEqual(command("pip", rules=rules).runs[0][:3], ("/opt/venv/bin/python", "-m", "pip"))

    def test_command(self) -> None:
        """A command is run as it was signed; packages take the place of the whole word for them only."""
        argv = ("/bin/sh", "-c", "echo {packages}", "{packages}", "end")
        made = command("command", Action.RUN, argv=argv, packages=TWO)
        self.assertEqual(made.runs, (("/bin/sh", "-c", "echo {packages}", *TWO, "end"),))


class RefusalTests(SynchronousTestCase):
    """What is not run, and whose fault it is."""

    def test_not_allowed(self) -> None:
        """Only installers of the node's allow-list are run; the text says where to allow more."""
        outcome = refusal("rpm", rules=Rules(frozenset({"dpkg", "apt"})))
        self.assertIs(outcome.state, State.HELD)
        self.assertEqual(
            outcome.reason, "installer rpm is not allowed on this node (allow = apt, dpkg in [install])"
        )

    def test_command_not_allowed(self) -> None:
        """A command is no installer like the others: it must be allowed by its own name."""
        rules = Rules(frozenset(MANAGERS))
        self.assertIs(refusal("command", Action.RUN, argv=("/bin/true",), rules=rules).state, State.HELD)

    def test_unknown(self) -> None:
        """An installer that a newer version knows is held, not failed."""
        self.assertIs(refusal("emerge", rules=Rules(frozenset({"emerge"}))).state, State.HELD)

    def test_evil_words(self) -> None:
        """No installer takes a word that would run something else or write elsewhere."""
        for name in MANAGERS:
            for word in EVIL:
                self.assertIs(refusal(name, argv=(word,)).state, State.FAILED, (name, word))

    @given(st.sampled_from(sorted(MANAGERS)), st.text(max_size=60))
    def test_any_word(self, name: str, word: str) -> None:
        """A word is taken only if it is one of the installer's plain options."""
        made = command_for(an_update(name, argv=(word,) if word.isprintable() else ("\\",)), RULES, DEB)
        if isinstance(made, Command):
            self.assertRegex(word, r"\A--[a-z-]+(=[0-9])?\Z")

    def test_nothing_to_do(self) -> None:
        """An order without an object can never be carried out."""
        for outcome in (
            refusal("dpkg", packages=()),
            refusal("dpkg", Action.REMOVE, packages=()),
            refusal("dpkg", Action.RUN),
            refusal("dpkg", Action.WITHDRAW),
            refusal("command", Action.RUN, packages=()),
            refusal("command", Action.RUN, argv=("reboot",)),
            refusal("command", Action.REMOVE, argv=("/bin/true",), targets=("a",)),
        ):
            self.assertIs(outcome.state, State.FAILED)

    def test_lost(self) -> None:
        """Fewer files than packages are held, and not taken for an order without an object."""
        package = Package("a", "1", "all", "a.deb", ORIGIN, Pieces(1, 16384, ORIGIN))
        outcome = command_for(an_update(packages=(package,)), RULES, ())
        self.assertEqual(outcome, Outcome(State.HELD, None, "damaged: 0 files for 1 packages"))

    def test_relative(self) -> None:
        """A package path that could be taken for an option or a name is a mistake of the caller."""
        with self.assertRaises(ValueError):
            command_for(an_update(), RULES, ("hello.deb",))


class LimitsTests(SynchronousTestCase):
    """Environment and time."""

    def test_environment(self) -> None:
        """Nothing of the daemon's own environment is passed on, and nobody is ever asked."""
        environment = environment_for(an_update(seq=7), PRIVATE)
        self.assertEqual(environment["DEBIAN_FRONTEND"], "noninteractive")
        self.assertEqual(environment["LC_ALL"], "C.UTF-8")
        self.assertEqual(environment["CLUMPT_SEQ"], "7")
        self.assertEqual(environment["CLUMPT_ROOT"], "/srv/peer7")
        self.assertFalse({"PYTHONPATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "USER"} & set(environment))

    def test_timeout(self) -> None:
        """The update may ask for less time than the node gives, never for more."""
        rules = Rules(EVERYTHING, timeout=100)
        for asked, given_ in ((0, 100), (50, 50), (1000, 100)):
            self.assertEqual(timeout_for(an_update(timeout=asked), rules), given_)
