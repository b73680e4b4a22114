"""The documents lead where they say."""

import re
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_OUTSIDE = re.compile(r"[a-z]+:")


def anchor(heading: str) -> str:
    """The name by which a heading is linked to, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(text: str) -> set[str]:
    """All headings of a document, by those names."""
    return {anchor(line.lstrip("#")) for line in text.splitlines() if line.startswith("#")}


def broken(path: Path) -> Iterator[str]:
    """The links of a document that lead nowhere."""
    for target in _LINK.findall(path.read_text()):
        if _OUTSIDE.match(target):
            continue
        name, _, heading = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        if not there.exists() or (heading and heading not in anchors(there.read_text())):
            yield f"{path.relative_to(ROOT)}: {target}"


class LinkTests(SynchronousTestCase):
    """The README and all that is in docs."""

    def test_links(self) -> None:
        """What is linked to is there, headings included."""
        documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
        self.assertGreater(len(documents), 8)
        self.assertEqual([wrong for path in documents for wrong in broken(path)], [])

    def test_reachable(self) -> None:
        """Every document can be reached from the README."""
        seen: set[Path] = set()
        todo = [ROOT / "README.md"]
        while todo:
            path = todo.pop()
            if path in seen or path.suffix != ".md":
                continue
            seen.add(path)
            names = [target.partition("#")[0] for target in _LINK.findall(path.read_text())]
            todo += [(path.parent / name).resolve() for name in names if name and not _OUTSIDE.match(name)]
        self.assertEqual({path.name for path in ROOT.glob("docs/*.md")} - {path.name for path in seen}, set())
