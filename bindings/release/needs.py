"""Says what compiled files ask of the system, as their own tables have it.

    needs.py FILE...            prints what a Debian package with them depends on: libc6 (>= 2.17)

dpkg-shlibdeps looks symbols up in the libc of the machine that builds, which says 2.34 for functions that have
only moved there from libpthread; the version that a symbol is bound to is what the loader checks.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

#: What is part of glibc, by its name before the version.
GLIBC = {"libc", "libm", "libpthread", "libdl", "librt", "libutil", "libresolv", "ld-linux-x86-64", "ld-linux-aarch64"}
#: Which package other libraries are in.
PACKAGES = {"libgcc_s.so.1": "libgcc-s1"}


@dataclass
class Needs:
    """Of one ELF file."""

    #: The newest glibc that a symbol is bound to, as 17 of 2.17.
    glibc: int
    libraries: set[str]
    #: Symbols that no version is asked for: whatever the loader finds, or nothing if they are weak.
    unversioned: dict[str, str]


def read(path: Path) -> Needs:
    text = readelf("--dynamic", "--version-info", path)
    minors = [int(minor) for minor in re.findall(r"GLIBC_2\.(\d+)", text)]
    symbols = [line.split() for line in readelf("--dyn-syms", path).splitlines()]
    # Number, value, size, type, binding, visibility, section, name.
    undefined = {row[7]: row[4] for row in symbols if len(row) > 7 and row[6] == "UND"}
    return Needs(
        glibc=max(minors, default=0),
        libraries=set(re.findall(r"\(NEEDED\).*\[(.+)\]", text)),
        unversioned={name: binding for name, binding in undefined.items() if "@" not in name},
    )


def readelf(*arguments: object) -> str:
    command = ["readelf", "--wide", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, universal_newlines=True).stdout


def depends(files: list[Path]) -> str:
    needs = [read(file) for file in files]
    libraries = set().union(*(need.libraries for need in needs))
    others = {name for name in libraries if name.split(".so")[0] not in GLIBC}
    unknown = others - PACKAGES.keys()
    if unknown:
        raise SystemExit(f"no package is known for {', '.join(sorted(unknown))}: add it to PACKAGES in {__file__}")
    return ", ".join([f"libc6 (>= 2.{max(need.glibc for need in needs)})", *sorted(PACKAGES[name] for name in others)])


if __name__ == "__main__":
    print(depends([Path(argument) for argument in sys.argv[1:]]))
