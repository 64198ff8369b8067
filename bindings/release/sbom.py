"""Writes which crates are compiled into a file of a release, as CycloneDX: sbom.py ARTEFACT [CRATE...] >ARTEFACT.cdx.json

CRATE is what the artefact has inside: meditopia (the library), meditopia-cli (the command). The crates come from
`cargo tree`, licences from `cargo metadata`, checksums from the lock file. Sorted and without a time, so that the
same release has the same bytes. TRIPLE says for which platform.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CARGO = os.environ.get("CARGO", "cargo")
TRIPLE = os.environ.get("TRIPLE", "x86_64-unknown-linux-gnu")


def cargo(*arguments: str) -> str:
    command = [CARGO, *arguments, "--locked"]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, universal_newlines=True).stdout


def inside(crate: str) -> set[tuple[str, str]]:
    """Name and version of each crate that is compiled into this one, itself too."""
    lines = cargo("tree", "--package", crate, "--edges=normal", f"--target={TRIPLE}", "--prefix=none", "--format={p}")
    # "serde v1.0.1 (proc-macro)", "meditopia v0.2.0 (/path)"
    return set(re.findall(r"^(\S+) v(\S+)", lines, re.M))


def checksums() -> dict[tuple[str, str], str]:
    entry = r'name = "(.+)"\nversion = "(.+)"\nsource = ".+"\nchecksum = "(.+)"'
    return {(name, version): sum for name, version, sum in re.findall(entry, (ROOT / "Cargo.lock").read_text())}


def component(package: dict[str, str], checksum: str | None) -> dict[str, object]:
    name, version = package["name"], package["version"]
    described: dict[str, object] = {
        "type": "library",
        "bom-ref": f"pkg:cargo/{name}@{version}",
        "name": name,
        "version": version,
        # The older way to write "or" is with a slash.
        "licenses": [{"expression": package["license"].replace("/", " OR ")}],
        "purl": f"pkg:cargo/{name}@{version}",
    }
    if checksum:
        described["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return described


def document(artefact: Path, crates: list[str]) -> dict[str, object]:
    known_to_cargo = json.loads(cargo("metadata", "--format-version=1", f"--filter-platform={TRIPLE}"))["packages"]
    packages = {(found["name"], found["version"]): found for found in known_to_cargo}
    known = checksums()
    wanted = sorted(set().union(*(inside(crate) for crate in crates)))
    version = re.findall(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.M)[0]
    sha256 = hashlib.sha256(artefact.read_bytes()).hexdigest()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "file",
                "name": artefact.name,
                "version": version,
                "licenses": [{"expression": "MIT OR Apache-2.0"}],
                "hashes": [{"alg": "SHA-256", "content": sha256}],
            }
        },
        "components": [component(packages[key], known.get(key)) for key in wanted],
    }


if __name__ == "__main__":
    json.dump(document(Path(sys.argv[1]), sys.argv[2:]), sys.stdout, indent=2, sort_keys=True)
    print()
