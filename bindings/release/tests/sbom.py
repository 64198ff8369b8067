"""Compares an SBOM with the lock file: sbom.py SBOM Cargo.lock. Fails with what differs."""

import json
import re
import sys

sbom, lock = json.load(open(sys.argv[1])), open(sys.argv[2]).read()
locked = {}
for block in lock.split("[[package]]")[1:]:
    fields = dict(re.findall(r'^(name|version|checksum) = "(.+)"$', block, re.M))
    locked[fields["name"], fields["version"]] = fields.get("checksum")

components = sbom["components"]
keys = [(component["name"], component["version"]) for component in components]
assert sbom["bomFormat"] == "CycloneDX" and "timestamp" not in sbom["metadata"] and "serialNumber" not in sbom
assert keys == sorted(set(keys)), "not sorted"
# What is compiled in, a crate that only the command has, and none that only a test has.
names = {name for name, _ in keys}
assert {"meditopia", "meditopia-cli", "rustls", "ring", "clap"} <= names, names
assert not names & {"cbindgen", "proptest", "meditopia-testkit", "shuttle"}, names
for component, key in zip(components, keys):
    hashes = [entry["content"] for entry in component.get("hashes", [])]
    assert key in locked, f"{key} is not in the lock file"
    assert hashes == [sum for sum in [locked[key]] if sum], f"{key}: {hashes} instead of {locked[key]}"
    assert bool(hashes) != key[0].startswith("meditopia"), f"{key} has no checksum"
    assert re.fullmatch(r"[A-Za-z0-9.()+ -]+", component["licenses"][0]["expression"]), component
