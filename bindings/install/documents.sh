#!/bin/sh
# Copies the documents: documents.sh DIRECTORY
#
# They lie at the paths by which they refer to each other. What they refer to and is not installed, such as sources and
# tests, is at the address of the repository instead.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
mkdir -p "$1"
to=$(cd "$1" && pwd)
version=$(sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' "$root/Cargo.toml")
repository=$(sed -n 's/^repository = "\(.*\)"/\1/p' "$root/Cargo.toml")

work=$(mktemp -d "${TMPDIR:-/tmp}/meditopia-documents.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM
cd "$root"
{
  ls README.md CHANGELOG.md SECURITY.md
  find docs -name '*.md'
  ls bindings/README.md bindings/*/README.md
} | sort >"$work/installed"
while IFS= read -r document; do
  mkdir -p "$to/$(dirname "$document")"
  awk -v document="$document" -v address="$repository/blob/v$version" \
    -f "$here/links.awk" "$work/installed" "$document" >"$to/$document"
done <"$work/installed"
cp LICENSE-MIT LICENSE-APACHE "$to"
