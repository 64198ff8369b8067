#!/bin/sh
# Compiles library and command as they are released: build.sh OUT
#
#   CARGO    cargo
#   TARGET   target                              everything that is made on the way lies below it
#   TRIPLE   x86_64-unknown-linux-gnu            see docs/releasing.md for the others
#   GLIBC    2.17                                the oldest glibc that the result runs on
#
# Two clones in different directories give the same bytes: no path of this machine gets into a file.
# Library and command are compiled by a call each, as `make release` does.
set -eu
umask 022

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cargo=${CARGO:-cargo}
triple=${TRIPLE:-x86_64-unknown-linux-gnu}
glibc=${GLIBC-2.17}
mkdir -p "$1" "${TARGET:-target}"
out=$(cd "$1" && pwd)
target=$(cd "${TARGET:-target}" && pwd)
cd "$root"

# Again only when the list has changed.
tools=$target/zig
cmp -s "$here/requirements.txt" "$tools/requirements.txt" || {
  python3 -m venv --clear "$tools"
  "$tools/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
  cp "$here/requirements.txt" "$tools/requirements.txt"
}
PATH=$tools/bin:$PATH
ZIG_GLOBAL_CACHE_DIR=$target/zig-cache
CARGO_ZIGBUILD_CACHE_DIR=$target/zig-cache
SOURCE_DATE_EPOCH=$(sh "$here/epoch.sh")
export PATH ZIG_GLOBAL_CACHE_DIR CARGO_ZIGBUILD_CACHE_DIR SOURCE_DATE_EPOCH
# A flag of the person who builds would be in the result.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CFLAGS CC LDFLAGS

crates=${CARGO_HOME:-$HOME/.cargo}
flags="\"--remap-path-prefix=$root=/meditopia\", \"--remap-path-prefix=$crates=/cargo\""
case $triple in
# Without it there is no shared library for musl.
*-musl) flags="$flags, \"-Ctarget-feature=-crt-static\"" ;;
esac
cflags=CFLAGS_$(printf '%s' "$triple" | tr - _)
export "$cflags=-ffile-prefix-map=$root=/meditopia -ffile-prefix-map=$crates=/cargo"

compile() {
  "$cargo" zigbuild --locked --release --target "$triple${glibc:+.$glibc}" --config "build.rustflags=[$flags]" "$@"
}

compile --target-dir "$target/portable"
compile --target-dir "$target/portable-command" --package meditopia-cli
cp "$target/portable/$triple/release/libmeditopia.so" "$target/portable/$triple/release/libmeditopia.a" "$out"
cp "$target/portable-command/$triple/release/meditopia" "$out"
mkdir -p "$out/installable"
sh "$root/bindings/install/native_libraries.sh" >"$out/installable/native-static-libs"
sh "$root/bindings/install/static.sh" "$out" "$out/installable/libmeditopia.a"
