"""Small Debian packages that do what a test wants."""

import subprocess
from pathlib import Path
from random import Random

#: Each run of a postinst leaves a line in the file C{ran} of its root.
RAN = 'echo "$1" >> "$DPKG_ROOT/ran"\n'


def make_deb(
    folder: Path,
    name: str = "hello",
    version: str = "1.0",
    postinst: str = RAN,
    compression: str = "none",
    size: int = 0,
) -> Path:
    """
    A package with one file, one configuration file and this postinst.

    @param size: bytes that the file has besides.
    """
    tree = folder / f"{name}-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr/share").mkdir(parents=True)
    (tree / "etc").mkdir()
    (tree / "usr/share" / name).write_bytes(version.encode() + Random(name).randbytes(size))
    (tree / "etc" / f"{name}.conf").write_text(f"as delivered with {version}\n")
    (tree / "DEBIAN/conffiles").write_text(f"/etc/{name}.conf\n")
    control = {
        "Package": name,
        "Version": version,
        "Architecture": "all",
        "Maintainer": "Nobody <nobody@example.org>",
        "Description": "for tests",
    }
    (tree / "DEBIAN/control").write_text("".join(f"{key}: {value}\n" for key, value in control.items()))
    script = tree / "DEBIAN/postinst"
    script.write_text("#!/bin/sh\n" + postinst)
    script.chmod(0o755)
    deb = folder / f"{name}_{version}_all.deb"
    words = ["dpkg-deb", "--root-owner-group", f"-Z{compression}", "--build", tree, deb]
    subprocess.run(words, check=True, capture_output=True)
    return deb
