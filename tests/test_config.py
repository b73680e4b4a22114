"""The configuration: read, refused, shown and described."""

import runpy
from pathlib import Path

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from clumpt.config import SECTIONS, Config, DirectorySection, keys
from clumpt.configfile import load
from clumpt.configtext import render, sample
from clumpt.errors import ConfigurationError
from clumpt.hours import HOURS
from clumpt.kinds import SECONDS, SIZE, YES_NO, choice, whole

ROOT = Path(__file__).resolve().parent.parent
NEEDED = "[directory]\nuris = ldap://ldap1\n"


class ConfigTestCase(SynchronousTestCase):
    """Writes files and reads them."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.path = self.folder / "clumpt.ini"

    def load(self, text: str, **drop_ins: str) -> Config:
        self.path.write_text(text)
        (self.folder / "clumpt.d").mkdir(exist_ok=True)
        for name, drop_in in drop_ins.items():
            (self.folder / f"clumpt.d/{name}.ini").write_text(drop_in)
        return load(self.path, lambda: "node1")

    def mistakes(self, text: str, **drop_ins: str) -> list[str]:
        with self.assertRaises(ConfigurationError) as caught:
            self.load(text, **drop_ins)
        return [mistake.replace(f"{self.folder}/", "") for mistake in caught.exception.mistakes]


class LoadTests(ConfigTestCase):
    """What is written is what holds."""

    def test_defaults(self) -> None:
        """A file with the one key that must be set gives the defaults, and the host's name."""
        config = self.load(NEEDED)
        expected = Config(directory=DirectorySection(uris=("ldap://ldap1",)))
        self.assertEqual(config, evolve(expected, peer=evolve(expected.peer, name="node1")))
        self.assertEqual(config.origin("peer", "name"), "host name")
        self.assertEqual(config.origin("peer", "state"), "default")

    def test_values(self) -> None:
        """Each sort of value is read as what it means."""
        config = self.load(
            NEEDED + "timeout = 2.5\nstarttls = No\n"
            "allow_plain = yes\n[limits]\nupload = 20M\n[install]\nallow = dpkg\n  tar\nallow_command = yes\n"
        )
        self.assertEqual(config.directory.timeout, 2.5)
        self.assertEqual((config.directory.starttls, config.directory.allow_plain), (False, True))
        self.assertEqual(config.limits.upload, 20 * 1024 * 1024)
        self.assertEqual(config.install.allowed, {"dpkg", "tar", "command"})

    def test_provider(self) -> None:
        """Ids are given out by the first server, or by the writer if there is one (H5)."""
        two = "[directory]\nuris = ldap://a ldaps://b\n"
        self.assertEqual(self.load(two).directory.provider, "ldap://a")
        self.assertEqual(self.load(two + "writer = ldaps://b").directory.provider, "ldaps://b")

    def test_relative(self) -> None:
        """A relative path starts from the folder of the file that says it."""
        config = self.load(NEEDED + "[tls]\nca = ca.pem\n", site="[tls]\nkey = key.pem\n")
        self.assertEqual(config.tls.ca, self.folder / "ca.pem")
        self.assertEqual(config.tls.key, self.folder / "clumpt.d/key.pem")

    def test_drop_ins(self) -> None:
        """Drop-ins are read in order of name, the last one wins, and the origin tells which it was."""
        config = self.load(
            NEEDED + "[limits]\nlinks = 10\nfanout = 3",
            b="# the newest\n[limits]\nlinks = 30",
            a="[limits]\nlinks = 20\nfanout = 4",
        )
        self.assertEqual((config.limits.links, config.limits.fanout), (30, 4))
        self.assertEqual(config.origin("limits", "links"), f"{self.folder}/clumpt.d/b.ini:3")

    def test_per_cent(self) -> None:
        """A percent sign is a percent sign."""
        self.assertEqual(self.load(NEEDED + "[peer]\nstate = /a%b\n").peer.state, Path("/a%b"))


class MistakeTests(ConfigTestCase):
    """What cannot be is refused, with the place and what to write instead."""

    def test_all_at_once(self) -> None:
        """Every mistake in every file is named, not only the first."""
        self.assertEqual(
            self.mistakes(
                "[limits]\nfan_out = 3\nlinks = many\n\n[pear]\nname = x\n",
                site="[directory]\nstarttls = maybe\n[log]\nformat = jsn\n[peer]\nfanout = 1\ncolour = 1\n",
            ),
            [
                "clumpt.ini:2: unknown key fan_out in [limits] (did you mean fanout?)",
                "clumpt.ini:3: links must be a whole number from 2 to 10000; it is 'many'",
                "clumpt.ini:5: unknown section [pear] (did you mean peer?)",
                "clumpt.d/site.ini:2: starttls must be yes or no; it is 'maybe'",
                "clumpt.d/site.ini:4: format must be text or json (did you mean json?); it is 'jsn'",
                "clumpt.d/site.ini:6: unknown key fanout in [peer] (it belongs in [limits])",
                "clumpt.d/site.ini:7: unknown key colour in [peer]",
            ],
        )

    def test_words(self) -> None:
        """An installer that does not exist is named, with the nearest that does."""
        (only,) = self.mistakes("[install]\nallow = dpkg zyper\n")
        self.assertIn("not zyper (did you mean zypper?)", only)

    def test_bad_values(self) -> None:
        """Each sort of value refuses what it is not."""
        for section, line in (
            ("directory", "timeout = nan"),
            ("directory", "timeout = 0"),
            ("directory", "uris = http://x"),
            ("directory", "base = clumpt"),
            ("peer", "notify_port = 70000"),
            ("peer", "name = a b"),
            ("peer", "state ="),
            ("peer", "state = a\n b"),
            ("limits", "quota = 10 GB"),
            ("limits", "quota = -1"),
            ("limits", "upload_hours = 2M"),
            ("limits", "upload_hours = 08:00-18:00"),
            ("limits", "upload_hours = 8-18 2M"),
            ("limits", "upload_hours = 08:00-18:00 2M,"),
            ("limits", "download_hours = 08:00-18:00 fast"),
        ):
            (only,) = self.mistakes(f"[{section}]\n{line}\n")
            self.assertIn("clumpt.ini:2: ", only)
            self.assertIn(" must be ", only)

    def test_hours(self) -> None:
        """Hours say what is wrong with them; a key that is nearly right is told."""
        for value, words in (
            ("08:00-08:00 2M", "hours that end after they begin; 08:00-08:00 does not"),
            ("08:00-25:00 2M", "times from 00:00 to 24:00, not 25:00"),
            ("08:60-09:00 2M", "times from 00:00 to 24:00, not 08:60"),
            ("22:00-06:00 1M, 05:00-07:00 2M", "do not overlap; 22:00-06:00 and 05:00-07:00 do"),
        ):
            (only,) = self.mistakes(f"[limits]\nupload_hours = {value}\n")
            self.assertRegex(only, "clumpt.ini:2: upload_hours must be ")
            self.assertIn(words, only)
        (only,) = self.mistakes("[limits]\nuploadhours = 08:00-18:00 2M\n")
        self.assertIn("clumpt.ini:2: unknown key uploadhours in [limits] (did you mean upload_hours?)", only)
        config = self.load(NEEDED + "[limits]\nupload_hours = 8:00-18:00  2M ,22:00-24:00 0\n")
        self.assertEqual(str(config.limits.upload_hours), "08:00-18:00 2M, 22:00-00:00 0")

    def test_syntax(self) -> None:
        """What is no INI file is refused with its line."""
        self.assertEqual(self.mistakes("x = 1"), ["clumpt.ini:1: a line before the first [section]"])
        self.assertEqual(self.mistakes("[tls]\n[tls]"), ["clumpt.ini:2: [tls] stands twice in this file"])
        twice = self.mistakes("[tls]\nca = a\nca = b")
        self.assertEqual(twice, ["clumpt.ini:3: ca stands twice in [tls]"])
        (only,) = self.mistakes("[tls]\nwhat?")
        self.assertIn("clumpt.ini:2: neither a [section] nor key = value", only)
        self.assertIn("unknown section [DEFAULT]", self.mistakes("[DEFAULT]\nca = x")[0])

    def test_unreadable(self) -> None:
        """A file that is missing, binary or endless is refused."""
        with self.assertRaisesRegex(ConfigurationError, "none.ini: cannot be read: No such file"):
            load(self.folder / "none.ini")
        for raw in (b"\xff\xfe", b"#" * (1024 * 1024 + 1)):
            self.path.write_bytes(raw)
            with self.assertRaisesRegex(ConfigurationError, "not a text file"):
                load(self.path)

    def test_contradictions(self) -> None:
        """Values that are right one by one but not together are refused."""
        for text, what in (
            ("", "uris must be set"),
            (NEEDED + "starttls = no", "is not encrypted"),
            (NEEDED + "bind = simple", "needs bind_dn"),
            (NEEDED + "[peer]\nnotify_port = 5\nupdate_port = 5", "must differ"),
        ):
            (only,) = self.mistakes(text)
            self.assertIn(what, only)
        self.path.write_text(NEEDED)
        with self.assertRaisesRegex(ConfigurationError, "cannot name a peer"):
            load(self.path, lambda: "-")


class TextTests(ConfigTestCase):
    """The configuration as text."""

    def test_render(self) -> None:
        """What is shown gives the same configuration again, and says where values are from."""
        config = self.load(
            NEEDED + "[install]\nallow = tar dpkg\n[limits]\nquota = 1500k\n[peer]\ninterval_jitter=0.1"
        )
        shown = render(config)
        self.assertIn(f"# from {self.path}:6\nquota = 1500k\n", shown)
        self.assertEqual(self.load(shown), config)

    def test_sample(self) -> None:
        """With every # before a key removed, the sample file is the default configuration."""
        names = tuple(f"#{key.name} =" for section in SECTIONS for key in keys(section))
        lines = [line.removeprefix("#") if line.startswith(names) else line for line in sample().splitlines()]
        self.assertEqual(sum(line.startswith("#") for line in lines), sample().count("\n# ") + 1)
        text = "\n".join(lines).replace("uris =", "uris = ldap://ldap1")
        self.assertEqual(self.load(text), self.load(NEEDED))

    def test_generated(self) -> None:
        """The sample file and the tables in the documents are those of the code."""
        for path, text in runpy.run_path(str(ROOT / "docs/generate.py"))["texts"](ROOT).items():
            self.assertEqual(path.read_text(), text, f"{path} is old: run make config-docs")

    def test_defaults_are_written(self) -> None:
        """Every default can be written in the file and read back."""
        for section in SECTIONS:
            for key in keys(section):
                self.assertEqual(key.kind.parse(key.default_text, Path("/")), key.default, key)


class KindTests(SynchronousTestCase):
    """Values and their text."""

    @given(st.integers(0, 2**49))
    def test_size(self, size: int) -> None:
        """Sizes survive writing, whatever unit is chosen."""
        self.assertEqual(SIZE.parse(SIZE.write(size), Path()), size)

    @given(st.floats(0.001, 86400 * 366))
    def test_seconds(self, seconds: float) -> None:
        """So do durations."""
        self.assertEqual(SECONDS.parse(SECONDS.write(seconds), Path()), seconds)

    @given(st.text())
    def test_nonsense(self, text: str) -> None:
        """Any text is either a value or a ValueError."""
        for kind in (SIZE, SECONDS, YES_NO, HOURS, whole(1, 5), choice("a", "b")):
            try:
                value = kind.parse(text, Path())
            except ValueError:
                continue
            self.assertEqual(kind.parse(kind.write(value), Path()), value)
