"""Builds the wheel: the package, and the libmeditopia.so of a build inside it, with the command if that is built.

    python3 build_wheel.py target/release dist
    python3 build_wheel.py --without-library dist        # for every platform
    python3 build_wheel.py --sdist dist

One wheel for every Python 3, because nothing in it is compiled against Python. Its platform tag says which
glibc library and command ask for, read from the files themselves. The same input gives the same bytes. Also the build
backend of pyproject.toml, for `pip install bindings/python`; the library is then that of MEDITOPIA_BUILD_LIBRARY
or of target/release. Needs `readelf` and `strip`, that is binutils.

The source distribution has the package without a library: whoever builds from it names one.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import os
import posixpath
import re
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Dict, List, Optional

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PACKAGE = HERE / "src" / "meditopia"
REPOSITORY = "https://github.com/meditopia/libmeditopia"
#: The first time that a ZIP archive can say.
LONG_AGO = (1980, 1, 1, 0, 0, 0)
#: What manylinux lets a wheel take from the system, of what this library could want.
SYSTEM_LIBRARIES = {
    "libc.so.6",
    "libm.so.6",
    "libgcc_s.so.1",
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    "libutil.so.1",
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
}
#: As readelf names machines, and as tags do.
MACHINES = {"Advanced Micro Devices X86-64": "x86_64", "AArch64": "aarch64"}
#: The oldest glibc that a tag is made for, and what pip before 20.3 calls it.
OLDEST_GLIBC, OLDER_NAME = 17, "manylinux2014"
#: Where the command lies in the wheel; `meditopia.__main__` starts it.
COMMAND = "meditopia/bin/meditopia"
ENTRY_POINTS = b"[console_scripts]\nmeditopia = meditopia.__main__:main\n"
WITHOUT_LIBRARY = (
    "the source distribution has no library inside. On Linux with glibc, install the wheel (x86_64: pip 19.3 or newer takes "
    "it by itself); elsewhere build the library from Rust (`make release` in the repository), and let "
    "MEDITOPIA_BUILD_LIBRARY name its libmeditopia.so"
)


def version() -> str:
    (found,) = re.findall(r'__version__ = "(.+)"', (PACKAGE / "_version.py").read_text())
    manifest = ROOT / "Cargo.toml"
    if is_repository():
        crate = re.findall(r'^version = "(.+)"', manifest.read_text(), re.M)[0]
        if crate != found:
            raise SystemExit(f"{manifest} has version {crate} and {PACKAGE / '_version.py'} {found}: make them the same")
    return str(found)


def is_repository() -> bool:
    """Not an unpacked source distribution."""
    return (ROOT / "bindings" / "python" / "build_wheel.py").exists()


def licences() -> Dict[str, bytes]:
    directory = ROOT if is_repository() else HERE
    return {name: (directory / name).read_bytes() for name in ("LICENSE-MIT", "LICENSE-APACHE")}


def platform_tags(files: List[Path]) -> List[str]:
    """manylinux_2_X_x86_64 with the newest glibc version that a symbol asks for, and the older name of the same."""
    newest, machines = OLDEST_GLIBC, set()
    for file in files:
        text = subprocess.run(
            ["readelf", "--wide", "--file-header", "--dynamic", "--version-info", str(file)],
            check=True,
            stdout=subprocess.PIPE,
            universal_newlines=True,
        ).stdout
        foreign = set(re.findall(r"\(NEEDED\).*\[(.+)\]", text)) - SYSTEM_LIBRARIES
        if foreign:
            raise SystemExit(f"{file} needs {', '.join(sorted(foreign))}, which manylinux does not promise")
        newest = max([newest, *(int(minor) for minor in re.findall(r"GLIBC_2\.(\d+)", text))])
        machines.update(re.findall(r"Machine:\s+(.+)", text))
    if len(machines) != 1 or not machines <= MACHINES.keys():
        raise SystemExit(f"{', '.join(map(str, files))}: made for {', '.join(sorted(machines))}; no tag is known for that")
    machine = MACHINES[machines.pop()]
    tags = [f"manylinux_2_{newest}_{machine}"]
    return tags + [f"{OLDER_NAME}_{machine}"] if newest == OLDEST_GLIBC else tags


def stripped(file: Path, directory: Path) -> bytes:
    """A copy without symbols that only a debugger wants."""
    copy = directory / f"{file.name}.stripped"
    subprocess.run(["strip", "--strip-unneeded", "-o", str(copy), str(file)], check=True)
    content = copy.read_bytes()
    copy.unlink()
    return content


def described() -> str:
    """The README as an index of packages shows it: its links lead to the sources of this version."""
    sources = f"{REPOSITORY}/blob/v{version()}/"

    def absolute(link: "re.Match[str]") -> str:
        return f"]({sources}{posixpath.normpath('bindings/python/' + link[1])})"

    return re.sub(r"\]\((?!https?:|#)([^)]+)\)", absolute, (HERE / "README.md").read_text())


def metadata(requires: str = "") -> bytes:
    lines = [
        "Metadata-Version: 2.1",
        "Name: meditopia",
        f"Version: {version()}",
        "Summary: Queues user-activity events durably and delivers them to the Meditopia Partners API",
        "License: MIT OR Apache-2.0",
        f"Project-URL: Source, {REPOSITORY}",
        *([f"Requires-External: {requires}"] if requires else []),
        "Requires-Python: >=3.9",
        "Classifier: Operating System :: POSIX :: Linux",
        "Classifier: Programming Language :: Python :: 3",
        "Classifier: Typing :: Typed",
        "Description-Content-Type: text/markdown",
        "",
        described(),
    ]
    return "\n".join(lines).encode()


def build(library: Optional[Path], dist: Path) -> Path:
    """Writes the wheel into `dist` and gives its path."""
    if library and not library.exists():
        advice = "run `make wheel`, or let MEDITOPIA_BUILD_LIBRARY name a libmeditopia.so"
        raise SystemExit(f"{library} is not there: {advice if is_repository() else WITHOUT_LIBRARY}")
    dist.mkdir(parents=True, exist_ok=True)
    # The command of the same build lies beside the library.
    command = library.with_name("meditopia") if library else None
    has_command = bool(command and os.access(command, os.X_OK))
    compiled = [file for file in (library, command if has_command else None) if file]
    tags = platform_tags(compiled) if compiled else ["any"]
    info = f"meditopia-{version()}.dist-info"
    members = {f"meditopia/{path.name}": path.read_bytes() for path in sorted(PACKAGE.iterdir()) if path.is_file()}
    if library:
        members["meditopia/libmeditopia.so.0"] = stripped(library, dist)
    if command and has_command:
        members[COMMAND] = stripped(command, dist)
        members[f"{info}/entry_points.txt"] = ENTRY_POINTS
    for name, text in licences().items():
        members[f"{info}/licenses/{name}"] = text
    members[f"{info}/METADATA"] = metadata()
    members[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: build_wheel.py\nRoot-Is-Purelib: {str(not library).lower()}\n"
        + "".join(f"Tag: py3-none-{tag}\n" for tag in tags)
    ).encode()
    record = "".join(f"{name},sha256={_hash(content)},{len(content)}\n" for name, content in members.items())
    members[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()

    wheel = dist / f"meditopia-{version()}-py3-none-{'.'.join(tags)}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (stat.S_IFREG | (0o755 if ".so" in name or name == COMMAND else 0o644)) << 16
            archive.writestr(entry, content)
    return wheel


def build_source(dist: Path) -> Path:
    """Writes the source distribution into `dist` and gives its path."""
    dist.mkdir(parents=True, exist_ok=True)
    name = f"meditopia-{version()}"
    files = [HERE / "README.md", HERE / "build_wheel.py", HERE / "pyproject.toml"]
    files += [path for path in sorted(PACKAGE.iterdir()) if path.is_file()]
    members = {f"{name}/{path.relative_to(HERE)}": path.read_bytes() for path in files}
    members.update({f"{name}/{licence}": text for licence, text in licences().items()})
    members[f"{name}/PKG-INFO"] = metadata(requires="libmeditopia")

    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member, content in sorted(members.items()):
            # Mode 0644, root's, of 1970: what TarInfo is made with.
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    source = dist / f"{name}.tar.gz"
    source.write_bytes(gzip.compress(archive.getvalue(), mtime=0))
    return source


def _hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


# What pip calls, by PEP 517.


def build_wheel(wheel_directory: str, config_settings: object = None, metadata_directory: Optional[str] = None) -> str:
    target = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
    library = Path(os.environ.get("MEDITOPIA_BUILD_LIBRARY", target / "release" / "libmeditopia.so"))
    return build(library, Path(wheel_directory)).name


def build_sdist(sdist_directory: str, config_settings: object = None) -> str:
    return build_source(Path(sdist_directory)).name


if __name__ == "__main__":
    what, directory = sys.argv[1], Path(sys.argv[2])
    if what == "--sdist":
        print(build_source(directory))
    else:
        print(build(None if what == "--without-library" else Path(what) / "libmeditopia.so", directory))
