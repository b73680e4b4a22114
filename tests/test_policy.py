"""What a group allows: L{clumpt.model.Group.objection} (R11)."""

from twisted.trial.unittest import SynchronousTestCase

from clumpt.model import PATTERN, Group, GroupName, Package
from clumpt.pieces import Pieces, digest_of

GPU = GroupName("gpu")
DIGEST = digest_of(b"")


def packages(*names: str) -> list[Package]:
    return [Package(name, "1", "all", f"{name}.deb", DIGEST, Pieces(1, 16384, DIGEST)) for name in names]


class ObjectionTests(SynchronousTestCase):
    """Each rule, by itself and with the others."""

    def objection(self, *names: str, installer: str = "dpkg", **policy: str) -> str:
        rules = {kind: frozenset(listed.split()) for kind, listed in policy.items()}
        return Group(GPU, "", **rules).objection(installer, packages(*names))

    def test_free(self) -> None:
        """Without a policy everything may be installed."""
        self.assertEqual(self.objection("cuda", installer="command"), "")

    def test_installers(self) -> None:
        """Only the installers that are named may be used."""
        self.assertEqual(self.objection("cuda", installers="apt dpkg"), "")
        why = self.objection(installers="dpkg apt", installer="rpm")
        self.assertEqual(why, "group gpu allows only apt, dpkg, not rpm")

    def test_packages(self) -> None:
        """Of names that are allowed, every package of an update has to have one."""
        self.assertEqual(self.objection("cuda-12", "gcc", packages="cuda-* gcc"), "")
        why = self.objection("cuda-12", "g++", packages="cuda-* gcc")
        self.assertEqual(why, "group gpu allows only packages cuda-*, gcc, not g++")

    def test_refuses(self) -> None:
        """What is refused is so even if it is allowed; case counts, as it does to package managers."""
        why = self.objection("gcc", "cuda-7", packages="cuda-* gcc", refuses="cuda-[0-9] gcc")
        self.assertEqual(why, "group gpu does not allow gcc: it refuses gcc")
        why = self.objection("cuda-7", packages="cuda-* gcc", refuses="cuda-[0-9] *7")
        self.assertEqual(why, "group gpu does not allow cuda-7: it refuses *7, cuda-[0-9]")
        self.assertEqual(self.objection("cuda-12", packages="cuda-* gcc", refuses="cuda-[0-9]"), "")
        self.assertEqual(self.objection("GCC", refuses="gcc"), "")

    def test_patterns(self) -> None:
        """What a pattern may be."""
        for good in ("gcc", "*", "cuda-*", "[!a-f]*", "g++", "lib?~"):
            self.assertIsNotNone(PATTERN.fullmatch(good), good)
        for bad in ("", "-x", "a b", "a/b", "a,b", "\x1b"):
            self.assertIsNone(PATTERN.fullmatch(bad), bad)
