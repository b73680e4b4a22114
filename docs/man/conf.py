"""How Sphinx makes the manual pages: each NAME.SECTION.rst of this folder is one."""

from pathlib import Path

#: What each page is about, for apropos(1).
ABOUT = {
    "clumpt.1": "submit updates to a cluster and follow them",
    "clumptconf.8": "set up a cluster of peers, change it and check it",
    "clumpt-directory.8": "a small LDAP directory for Clumpt",
    "clumptd.8": "install and pass on software as a peer of a cluster",
    "clumpt.ini.5": "configuration of a Clumpt node",
}

project = "Clumpt"
author = "The Clumpt authors"
root_doc = "clumpt.ini.5"
man_show_urls = True
# Each page stands by itself.
suppress_warnings = ["toc.not_included"]
man_pages = [
    (page.stem, page.stem.rpartition(".")[0], ABOUT[page.stem], author, page.stem.rpartition(".")[2])
    for page in sorted(Path(__file__).parent.glob("*.rst"))
]
