"""How Sphinx makes the manual pages: each NAME.SECTION.rst of this folder is one."""

from pathlib import Path

#: What each page is about, for apropos(1).
ABOUT = {
    "clumpt.1": "submit updates to a cluster and follow them",
    "clumptconf.1": "add peers to a cluster and change them",
    "clumpt-directory.8": "a small LDAP directory for Clumpt",
    "clumptd.8": "install and pass on software as a peer of a cluster",
    "clumpt.ini.5": "configuration of a Clumpt node",
}

project = "Clumpt"
author = "The Clumpt authors"
root_doc = "clumpt.ini.5"
man_show_urls = True
man_pages = [
    (page.stem, page.stem.rpartition(".")[0], ABOUT[page.stem], author, page.stem.rpartition(".")[2])
    for page in sorted(Path(__file__).parent.glob("*.rst"))
]
