#!/bin/sh
# Prints what a program has to link with a static library of this rustc: "-lutil -lrt ... -lc".
#
# Asked about an empty library: the crates of this one bring no system library of their own. Without
# -lgcc_s: compilers add it by themselves, or libgcc_eh with -static, where there is no libgcc_s.
set -eu
dir=$(mktemp -d "${TMPDIR:-/tmp}/meditopia-native.XXXXXX")
trap 'rm -rf "$dir"' EXIT
said=$(printf '' | rustc --crate-name empty --crate-type staticlib --print native-static-libs -o "$dir/empty.a" - 2>&1) || {
  printf '%s\n' "$said" >&2
  exit 1
}
printf '%s\n' "$said" | sed -n '/^note: native-static-libs: /{s///; s/-lgcc_s *//; p}'
