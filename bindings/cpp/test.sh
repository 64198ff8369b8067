#!/bin/sh
# Tests what `make install` and `make deb` give to C and C++ programs: test.sh BUILD_DIR [PART...]
#
# BUILD_DIR has libmeditopia.so, libmeditopia.a and the `meditopia` command, whose sandbox the programs talk
# to. Everything else goes to a temporary directory with a space in its name. A part is a script in tests/.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
BUILT=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- install cmake subdirectory pkgconfig wrapper versions daemon deb

ROOT=$(cd "$here/../.." && pwd)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/meditopia cpp.XXXXXX")
INSTALLED="$WORK/installed here/usr"
export BUILT ROOT WORK INSTALLED
trap 'rm -rf "$WORK"' EXIT
trap 'exit 130' HUP INT TERM

# The environment wins over a file, and these tests are not about yours.
for name in $(env | sed -n 's/^\(MEDITOPIA_[A-Z_]*\)=.*/\1/p'); do unset "$name"; done
unset LD_LIBRARY_PATH PKG_CONFIG_PATH CMAKE_PREFIX_PATH DESTDIR PREFIX LIBDIR

# As `make release` leaves it: the static library is made once.
mkdir -p "$WORK/built/installable"
ln -s "$BUILT/libmeditopia.so" "$BUILT/libmeditopia.a" "$BUILT/meditopia" "$WORK/built"
sh "$ROOT/bindings/install/native_libraries.sh" >"$WORK/built/installable/native-static-libs"
sh "$ROOT/bindings/install/static.sh" "$BUILT" "$WORK/built/installable/libmeditopia.a"
BUILT=$WORK/built

PREFIX=$INSTALLED sh "$ROOT/bindings/install/install.sh" install "$BUILT"
for part; do
  echo "== $part"
  sh "$here/tests/$part.sh"
done
echo "All that was promised of C and C++ holds."
