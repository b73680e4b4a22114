"""The floors of the house: who may import whom, and what a file may be."""

import ast
import configparser
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parent.parent

#: Which rooms there are, from the ground up.  A room of clumpt/ that is not named here fails the test.
FLOORS = {
    0: {
        "config",
        "configfile",
        "configtext",
        "connectivity",
        "errors",
        "expiry",
        "graph",
        "hours",
        "idset",
        "kinds",
        "model",
        "order",
        "pieces",
        "places",
        "progress",
        "provenance",
        "skew",
        "strictjson",
        "table",
        "targets",
        "trees",
        "version",
    },
    1: {"aio", "interfaces"},
    2: {"install", "ldap", "protocols", "store", "trust"},
    3: {"agent"},
    4: {"apps"},
}
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
VALUES, SEAMS, ADAPTERS, AGENT, APPS = FLOORS

#: What comes from elsewhere and may be seen on the lower floors, beside the standard library.
OUTSIDE = {
    VALUES: ("attr", "attrs"),
    SEAMS: (
        "attr",
        "attrs",
        "zope.interface",
        "twisted.internet.defer",
        "twisted.internet.interfaces",
        "twisted.logger",
    ),
}
#: Packages that are not of the standard library.
FOREIGN = (
    "OpenSSL",
    "cryptography",
    "hypothesis",
    "ldaptor",
    "rich",
    "rpmfile",
    "twisted",
    "zope",
    "ClusterShell",
)
#: Lines that a file may have; the seams are declarations only, and stand together to be read together.
LONGEST = 400
LONGEST_SEAMS = 570
#: Tests are read one by one.
LONGEST_TESTS = 1000


def imported(tree: ast.AST) -> Iterator[str]:
    """Every dotted name that the code imports, wherever it does so; a relative one begins with a dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{alias.name}" for alias in node.names)


def begins(name: str, *prefixes: str) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def room_of(name: str) -> str:
    """C{ldap} for C{clumpt.ldap.wire}; empty for the package itself."""
    return (name.split(".") + [""])[1]


def own_code_wrong(room: str, name: str) -> str | None:
    """Why a file in C{room} may not import C{name} of Clumpt, None if it may."""
    target = room_of(name)
    if room == "testing" or target == room:
        return None
    if target == "testing":
        return "only tests import clumpt.testing"
    if target not in FLOOR_OF:
        return "no such room"
    here, there = FLOOR_OF[room], FLOOR_OF[target]
    if there > here:
        return "imports point down only"
    if here == AGENT and there == ADAPTERS:
        return "the agent sees interfaces only"
    if here == there and here >= ADAPTERS:
        return "rooms of one floor do not know each other"
    return None


def foreign_code_wrong(room: str, name: str) -> str | None:
    """Why a file in C{room} may not import C{name} from elsewhere, None if it may."""
    if begins(name, "ldaptor") and room not in ("ldap", "testing"):
        return "only clumpt.ldap knows ldaptor"
    if begins(name, "twisted.internet.reactor") and room != "apps":
        return "the reactor is an argument below apps"
    allowed = OUTSIDE.get(FLOOR_OF.get(room, APPS))
    if allowed is not None and begins(name, *FOREIGN) and not begins(name, *allowed):
        return "too much for this floor"
    return None


def wrong(room: str, source: str) -> list[str]:
    """What is wrong with the imports of a file with this C{source} in C{room}."""
    if room not in FLOOR_OF and room != "testing":
        return [f"the room {room} stands on no floor"]
    found = []
    for name in imported(ast.parse(source)):
        if name.startswith("."):
            why = "imports are absolute"
        elif begins(name, "clumpt"):
            why = own_code_wrong(room, name)
        else:
            why = foreign_code_wrong(room, name)
        if why:
            found.append(f"{name}: {why}")
    return found


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


class FloorTests(SynchronousTestCase):
    """The code keeps to its floors."""

    def test_imports(self) -> None:
        """No file of Clumpt imports what its floor may not see."""
        found = []
        for path in sources("clumpt"):
            parts = path.relative_to(ROOT / "clumpt").with_suffix("").parts
            if parts != ("__init__",):
                found += [f"{path.relative_to(ROOT)}: {what}" for what in wrong(parts[0], path.read_text())]
        self.assertEqual(found, [])

    def test_init(self) -> None:
        """Every C{__init__.py} is a docstring and nothing else."""
        found = []
        for path in sources("clumpt"):
            body = ast.parse(path.read_text()).body
            if path.name == "__init__.py" and not (
                len(body) == 1 and ast.get_docstring(ast.parse(path.read_text()))
            ):
                found.append(str(path.relative_to(ROOT)))
        self.assertEqual(found, [])

    def test_length(self) -> None:
        """A file can be read in one sitting."""
        lengths = {
            str(path.relative_to(ROOT)): len(path.read_text().splitlines())
            for path in sources("clumpt", "tests", "twisted", "bench")
        }
        self.assertLessEqual(lengths.pop("clumpt/interfaces.py"), LONGEST_SEAMS)
        tests = {name for name in lengths if name.startswith(("tests/", "clumpt/testing/"))}
        long = {
            name: length
            for name, length in lengths.items()
            if length > (LONGEST_TESTS if name in tests else LONGEST)
        }
        self.assertEqual(long, {})

    def test_plugin(self) -> None:
        """The plugin names modules and imports none of them, so that C{twistd --help} stays cheap."""
        for path in sources("twisted"):
            names = list(imported(ast.parse(path.read_text())))
            self.assertEqual([name for name in names if begins(name, "clumpt", "ldaptor")], [])
        self.assertEqual(list((ROOT / "twisted").rglob("__init__.py")), [], "it would hide Twisted itself")

    def test_packages(self) -> None:
        """setup.cfg names every package, because C{find:} would lose the plugins."""
        cfg = configparser.ConfigParser(interpolation=None)
        cfg.read(ROOT / "setup.cfg")
        written = set(cfg["options"]["packages"].split())
        there = {".".join(path.parent.relative_to(ROOT).parts) for path in sources("clumpt")}
        self.assertEqual(written, there | {"twisted.plugins"})


class RuleTests(SynchronousTestCase):
    """The rules say no where they should: each is shown code that breaks it."""

    def refused(self, room: str, source: str, why: str) -> None:
        self.assertIn(why, " ".join(wrong(room, source)))

    def test_down_only(self) -> None:
        """A lower floor does not see a higher one, not even inside a function."""
        self.refused("model", "from clumpt.interfaces import IJournal", "point down")
        self.refused("store", "def f():\n    import clumpt.apps.daemon", "point down")
        self.refused("idset", "from clumpt import agent", "point down")

    def test_adapters(self) -> None:
        """Adapters do not know each other, the agent knows none of them, and nobody leans on the fakes."""
        self.refused("store", "from clumpt.ldap.wire import x", "do not know each other")
        self.refused("agent", "from clumpt.store.journal import Journal", "interfaces only")
        self.refused("apps", "from clumpt.testing.world import World", "only tests")

    def test_foreign(self) -> None:
        """ldaptor, the reactor and Twisted stay where they belong."""
        self.refused("apps", "import ldaptor", "only clumpt.ldap")
        self.refused("agent", "from twisted.internet import reactor", "argument")
        self.refused("testing", "import twisted.internet.reactor", "argument")
        self.refused("model", "from twisted.internet.defer import Deferred", "too much")
        self.refused("interfaces", "from twisted.internet import protocol", "too much")
        self.refused("store", "from . import journal", "absolute")
        self.refused("utils", "", "no floor")

    def test_allowed(self) -> None:
        """What the plan allows is allowed."""
        for room, source in (
            ("table", "from attrs import frozen\nfrom clumpt.idset import IdSet"),
            ("aio", "from twisted.internet.defer import Deferred"),
            ("ldap", "from ldaptor.protocols import pureldap\nfrom clumpt.ldap import wire"),
            ("apps", "from twisted.internet import reactor\nfrom clumpt.store.journal import Journal"),
            ("testing", "from clumpt.apps.daemon import build"),
        ):
            self.assertEqual(wrong(room, source), [])
