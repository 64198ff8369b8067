#!/bin/sh
# Installs and uses every file of a release as its readers will: check.sh DIST [PART...]
#
# Everything goes to fresh directories. A part is a script in tests/: `check.sh dist wheel`. With REPRODUCE=1 the
# release is also made again from a clone in another directory, and the bytes are compared.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$here/../.." && pwd)
DIST=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- files tarball wheel composer debs debian11 crate ${REPRODUCE:+reproduce}
mkdir -p "${TARGET:-target}"
TARGET=$(cd "${TARGET:-target}" && pwd)
VERSION=$(sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' "$ROOT/Cargo.toml")
WORK=$(mktemp -d "${TMPDIR:-/tmp}/meditopia-dist.XXXXXX")
export ROOT DIST TARGET VERSION WORK
trap 'rm -rf "$WORK"' EXIT
trap 'exit 130' HUP INT TERM

# The environment wins over a file, and these tests are not about yours.
for name in $(env | sed -n 's/^\(MEDITOPIA_[A-Z_]*\)=.*/\1/p'); do unset "$name"; done
unset LD_LIBRARY_PATH PKG_CONFIG_PATH CMAKE_PREFIX_PATH PYTHONPATH SOURCE_DATE_EPOCH

for part; do
  echo "== $part"
  sh "$here/tests/$part.sh"
done
echo "All files of the release are as they should be."
