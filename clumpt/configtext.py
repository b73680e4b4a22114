"""The configuration as text: merged for the operator, as a sample file, and for the manual."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import fill

from clumpt.config import DEFAULT, SECTIONS, Config, about, keys


def render(config: Config) -> str:
    """
    The whole configuration as a file that gives the same again; a comment above each value that
    is not the default says where it was written.
    """
    return _file("# All values in force; what has no note is the default.", _values(config))


def sample() -> str:
    """A file with every key at its default, explained and commented out."""
    head = fill(
        "Clumpt on this node. Every key is shown with its default; remove the # to change it."
        " Files clumpt.d/*.ini are read after this one, in order of name, and win."
        " Relative paths start from the folder of the file. Check it with: clumptd --check-config",
        width=96,
        initial_indent="# ",
        subsequent_indent="# ",
    )
    return _file(head, _samples())


def markdown() -> str:
    """The keys as Markdown tables, one a section."""
    lines: list[str] = []
    for section in SECTIONS:
        lines += [f"### [{section}]", "", about(section), "", "| key | default | meaning |", "|---|---|---|"]
        for key in keys(section):
            default = f"`{key.default_text}`" if key.default_text else ""
            lines.append(f"| `{key.name}` | {default} | {key.meaning} |")
        lines.append("")
    return "\n".join(lines)


def manual() -> str:
    """The keys in reStructuredText, for clumpt.ini(5)."""
    lines: list[str] = []
    for section in SECTIONS:
        lines += [f"[{section}]", "~" * (len(section) + 2), "", about(section), ""]
        for key in keys(section):
            lines += [f"**{key.name}** = *{key.kind.what}*"]
            default = f"Default: ``{key.default_text}``." if key.default_text else ""
            lines += [f"    {key.meaning} {default}".rstrip(), ""]
    return "\n".join(lines)


def _file(head: str, lines: Iterator[str]) -> str:
    return "\n".join((head, *lines)) + "\n"


def _values(config: Config) -> Iterator[str]:
    for section in SECTIONS:
        yield from ("", f"[{section}]")
        for key in keys(section):
            origin = config.origin(section, key.name)
            if origin != DEFAULT:
                yield f"# from {origin}"
            yield f"{key.name} = {key.kind.write(getattr(getattr(config, section), key.name))}".rstrip()


def _samples() -> Iterator[str]:
    for section in SECTIONS:
        yield from ("", f"# {about(section)}", f"[{section}]")
        for key in keys(section):
            yield from ("", fill(key.meaning, width=96, initial_indent="# ", subsequent_indent="# "))
            yield f"#{key.name} = {key.default_text}".rstrip()
