#!/bin/sh
# pkg-config from nothing but the installed files: shared, --static and -static.
. "$(dirname "$0")/part.sh"
PKG_CONFIG_PATH=$LIB/pkgconfig
export PKG_CONFIG_PATH

version=$(sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' "$ROOT/Cargo.toml")
[ "$(pkg-config --modversion meditopia)" = "$version" ] || fail "the version"
# A path with a space comes out quoted, so what pkg-config says is read by a shell again.
compile() {
  program=$1
  shift
  eval "cc -std=c99 -Wall -Werror '$here/consumer/main.c' $* -o '$WORK/$program'" 2>"$WORK/compile" || fail "$(cat "$WORK/compile")"
}
compile pc_shared "$(pkg-config --cflags --libs meditopia)"
LD_LIBRARY_PATH=$LIB against_sandbox 1 "$WORK/pc_shared"
readelf -d "$WORK/pc_shared" | grep -q 'NEEDED.*libmeditopia.so.0' || fail "the program does not ask for libmeditopia.so.0"
if against=$("$WORK/pc_shared" 2>&1); then fail "it runs without the library: $against"; fi
holds "pkg-config links a program with the shared library"

compile pc_static "-Wl,-Bstatic $(pkg-config --cflags --libs meditopia) -Wl,-Bdynamic $(pkg-config --static --libs-only-l meditopia | sed 's/-lmeditopia//')"
against_sandbox 1 "$WORK/pc_static"
compile pc_alone "-static $(pkg-config --static --cflags --libs meditopia)"
against_sandbox 1 "$WORK/pc_alone"
for program in pc_static pc_alone; do
  ! readelf -d "$WORK/$program" | grep -q 'NEEDED.*meditopia' || fail "$program asks for a shared library"
done
! readelf -d "$WORK/pc_alone" | grep -q NEEDED || fail "a static program asks for a library"
holds "pkg-config --static says all that a static program needs"
