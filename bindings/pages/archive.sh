#!/bin/sh
# The archive and the Debian packages of a release, of what is built: archive.sh BUILD_DIR OUT
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/meditopia-archive.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/built/installable"
ln -s "$1/libmeditopia.so" "$1/libmeditopia.a" "$1/meditopia" "$work/built"
sh "$root/bindings/install/native_libraries.sh" >"$work/built/installable/native-static-libs"
sh "$root/bindings/install/static.sh" "$1" "$work/built/installable/libmeditopia.a"
version=$(sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' "$root/Cargo.toml")
sh "$root/bindings/release/tarball.sh" "$work/built" "$2/meditopia-$version-linux-x86_64.tar.gz"
# Not packed: that takes longer than all the rest.
DPKG_DEB_COMPRESSOR_TYPE=none sh "$root/bindings/install/deb.sh" "$work/built" "$2" >/dev/null
