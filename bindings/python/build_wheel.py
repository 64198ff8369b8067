"""Builds the wheel: the package, and the libmeditopia.so of a build inside it.

    python3 build_wheel.py target/release dist
    python3 build_wheel.py --without-library dist        # for every platform: disabled and recording clients only

One wheel for every Python 3, because nothing in it is compiled against Python. Its platform tag says which
glibc the library asks for, read from the library itself. The same input gives the same bytes. Also the build
backend of pyproject.toml, for `pip install bindings/python`; the library is then that of MEDITOPIA_BUILD_LIBRARY
or of target/release. Needs `objdump` and `strip`, that is binutils.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Optional

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PACKAGE = HERE / "src" / "meditopia"
#: The first time that a ZIP archive can say.
LONG_AGO = (1980, 1, 1, 0, 0, 0)
#: What manylinux lets a wheel take from the system, of what this library could want.
SYSTEM_LIBRARIES = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "libpthread.so.0", "libdl.so.2", "ld-linux-x86-64.so.2"}


def version() -> str:
    (found,) = re.findall(r'__version__ = "(.+)"', (PACKAGE / "_version.py").read_text())
    return str(found)


def platform_tag(library: Path) -> str:
    """manylinux_2_X_x86_64 with the newest glibc version that a symbol asks for."""
    text = subprocess.run(
        ["objdump", "-p", library], check=True, stdout=subprocess.PIPE, universal_newlines=True
    ).stdout
    if "elf64-x86-64" not in text:
        raise SystemExit(f"{library} is not for x86_64; this script has a tag for no other machine")
    foreign = set(re.findall(r"NEEDED\s+(\S+)", text)) - SYSTEM_LIBRARIES
    if foreign:
        raise SystemExit(f"{library} needs {', '.join(sorted(foreign))}, which manylinux does not promise")
    newest = max(int(minor) for minor in re.findall(r"GLIBC_2\.(\d+)", text))
    return f"manylinux_2_{max(newest, 5)}_x86_64"


def stripped(library: Path, directory: Path) -> bytes:
    """A copy without symbols that only a debugger wants."""
    copy = directory / "libmeditopia.so.stripped"
    subprocess.run(["strip", "--strip-unneeded", "-o", copy, library], check=True)
    content = copy.read_bytes()
    copy.unlink()
    return content


def metadata() -> bytes:
    lines = [
        "Metadata-Version: 2.1",
        "Name: meditopia",
        f"Version: {version()}",
        "Summary: Queues user-activity events durably and delivers them to the Meditopia Partners API",
        "License: MIT OR Apache-2.0",
        "Requires-Python: >=3.9",
        "Classifier: Operating System :: POSIX :: Linux",
        "Classifier: Programming Language :: Python :: 3",
        "Classifier: Typing :: Typed",
        "Description-Content-Type: text/markdown",
        "",
        (HERE / "README.md").read_text(),
    ]
    return "\n".join(lines).encode()


def build(library: Optional[Path], dist: Path) -> Path:
    """Writes the wheel into `dist` and gives its path."""
    if library and not library.exists():
        raise SystemExit(
            f"{library} is not there: run `make wheel`, or let MEDITOPIA_BUILD_LIBRARY name a libmeditopia.so"
        )
    dist.mkdir(parents=True, exist_ok=True)
    tag = f"py3-none-{platform_tag(library) if library else 'any'}"
    info = f"meditopia-{version()}.dist-info"
    members = {f"meditopia/{path.name}": path.read_bytes() for path in sorted(PACKAGE.iterdir()) if path.is_file()}
    if library:
        members["meditopia/libmeditopia.so.0"] = stripped(library, dist)
    for name in ("LICENSE-MIT", "LICENSE-APACHE"):
        members[f"{info}/licenses/{name}"] = (ROOT / name).read_bytes()
    members[f"{info}/METADATA"] = metadata()
    members[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: build_wheel.py\nRoot-Is-Purelib: {str(not library).lower()}\nTag: {tag}\n".encode()
    )
    record = "".join(f"{name},sha256={_hash(content)},{len(content)}\n" for name, content in members.items())
    members[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()

    wheel = dist / f"meditopia-{version()}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (stat.S_IFREG | (0o755 if ".so" in name else 0o644)) << 16
            archive.writestr(entry, content)
    return wheel


def _hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


# What pip calls, by PEP 517.


def build_wheel(wheel_directory: str, config_settings: object = None, metadata_directory: Optional[str] = None) -> str:
    target = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
    library = Path(os.environ.get("MEDITOPIA_BUILD_LIBRARY", target / "release" / "libmeditopia.so"))
    return build(library, Path(wheel_directory)).name


def build_sdist(sdist_directory: str, config_settings: object = None) -> str:
    raise SystemExit("there is no source distribution: the library is built from Rust; use `make wheel`")


if __name__ == "__main__":
    built = None if sys.argv[1] == "--without-library" else Path(sys.argv[1]) / "libmeditopia.so"
    print(build(built, Path(sys.argv[2])))
