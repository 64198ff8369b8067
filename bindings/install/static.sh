#!/bin/sh
# Makes the static library that is installed: static.sh BUILD_DIR OUT.a
#
# It is one object that shows the header's functions and nothing else: the archive that cargo makes exposes
# the bundled SQLite, which would silently replace a program's own. Sections of LLVM's are of no use to
# another linker; groups are resolved, for their names are no longer seen.
set -eu

work=$(mktemp -d "${TMPDIR:-/tmp}/meditopia-static.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM

nm -D --defined-only "$1/libmeditopia.so" | sed -n 's/.* T \(meditopia_.*\)/\1/p' >"$work/keep"
# shellcheck disable=SC2046 # a list of symbols
ld -r --force-group-allocation $(sed 's/^/-u /' "$work/keep") -o "$work/meditopia.o" "$1/libmeditopia.a"
objcopy --remove-section=.llvmbc --remove-section=.llvmcmd --strip-debug \
  --keep-global-symbols="$work/keep" "$work/meditopia.o"
rm -f "$2"
ar rcsD "$2" "$work/meditopia.o"
