"""A small RPM package, as rpmbuild makes it."""

import subprocess
from pathlib import Path

_SPEC = """Name: hello
Version: 2.10
Release: 3
Epoch: 1
Summary: says hello
License: MIT
BuildArch: noarch
%description
%install
mkdir -p %{buildroot}/opt
echo hello > %{buildroot}/opt/hello
%files
/opt/hello
"""


def make_rpm(folder: Path) -> Path:
    """The package C{hello}, with one file."""
    spec = folder / "hello.spec"
    spec.write_text(_SPEC)
    subprocess.run(
        ["rpmbuild", "-bb", "--define", f"_topdir {folder}/build", spec], check=True, capture_output=True
    )
    [rpm] = folder.rglob("*.rpm")
    return rpm
