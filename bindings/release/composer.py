"""Makes the archive of the PHP package that composer installs from.

    composer.py OUT.zip PLATFORM=LIBRARY...        linux-x86_64=target/release/libmeditopia.so

It has the version, which composer.json in the repository leaves to the tag, and the library of each platform in
lib/PLATFORM, where the package looks (src/Places.php). The same input gives the same bytes.
"""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "bindings" / "php"
#: What an application does not need.
LEFT_OUT = {"tests", "test.sh", "lib"}
#: The first time that a ZIP archive can say.
LONG_AGO = (1980, 1, 1, 0, 0, 0)


def members() -> dict[str, bytes]:
    paths = [path for path in PACKAGE.rglob("*") if path.is_file() and path.name != "preload.h"]
    names = {str(path.relative_to(PACKAGE)): path for path in paths}
    files = {name: path.read_bytes() for name, path in names.items() if name.split("/")[0] not in LEFT_OUT}
    for licence in ("LICENSE-MIT", "LICENSE-APACHE"):
        files[licence] = (ROOT / licence).read_bytes()
    described = json.loads(files["composer.json"])
    manifest = (ROOT / "Cargo.toml").read_text()
    version, repository = (re.findall(f'^{key} = "(.+)"', manifest, re.M)[0] for key in ("version", "repository"))
    # What lies outside of the package is found among the sources of this version.
    files["README.md"] = files["README.md"].replace(b"](../../", f"]({repository}/blob/v{version}/".encode())
    described = {"name": described.pop("name"), "version": version, **described}
    files["composer.json"] = (json.dumps(described, indent=4, ensure_ascii=False) + "\n").replace("\\/", "/").encode()
    return files


def stripped(library: str) -> bytes:
    with tempfile.NamedTemporaryFile() as copy:
        subprocess.run(["strip", "--strip-unneeded", "-o", copy.name, library], check=True)
        return Path(copy.name).read_bytes()


def build(archive: Path, libraries: dict[str, str]) -> None:
    files = members()
    for platform, library in libraries.items():
        files[f"lib/{platform}/libmeditopia.so.0"] = stripped(library)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (stat.S_IFREG | (0o755 if name.startswith("bin/meditopia") else 0o644)) << 16
            packed.writestr(entry, content)


if __name__ == "__main__":
    build(Path(sys.argv[1]), dict(argument.split("=", 1) for argument in sys.argv[2:]))
