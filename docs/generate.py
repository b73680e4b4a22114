"""
Writes what is generated from the table of keys in clumpt/config.py: the sample
file, and the tables in the documents.  Run it from the root: make config-docs
"""

from pathlib import Path

from clumpt.configtext import manual, markdown, sample

BEGIN, END = "keys: written by docs/generate.py", "keys: end"


def spliced(text: str, keys: str) -> str:
    """C{text} with what stands between the two marked lines replaced by C{keys}."""
    lines = text.splitlines()
    first = next(number for number, line in enumerate(lines) if BEGIN in line)
    last = next(number for number, line in enumerate(lines) if END in line)
    return "\n".join([*lines[: first + 1], "", *keys.splitlines(), "", *lines[last:]]) + "\n"


def texts(root: Path) -> dict[Path, str]:
    """What each generated file is to hold."""
    page, man = root / "docs/configuration.md", root / "docs/man/clumpt.ini.5.rst"
    return {
        root / "etc/clumpt.ini": sample(),
        page: spliced(page.read_text(), markdown()),
        man: spliced(man.read_text(), manual()),
    }


if __name__ == "__main__":
    for path, text in texts(Path(__file__).resolve().parent.parent).items():
        path.write_text(text)
