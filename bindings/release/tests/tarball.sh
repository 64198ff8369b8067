#!/bin/sh
# The archive: unpacked anywhere, it compiles and links programs, and the command in it works.
. "$(dirname "$0")/part.sh"
unpack
consumer=$ROOT/bindings/cpp/tests/consumer
for file in bin/meditopia include/meditopia.hpp lib/libmeditopia.a lib/cmake/meditopia/meditopiaConfig.cmake \
  share/man/man1/meditopia.1 share/man/man3/meditopia_enqueue.3 share/bash-completion/completions/meditopia \
  share/doc/meditopia/README.md share/doc/meditopia/docs/guarantees.md share/doc/meditopia/LICENSE-MIT; do
  [ -s "$opt/$file" ] || fail "$file is not in the archive"
done
grep -q '^ExecStart=/opt/meditopia/bin/meditopia run ' "$opt/lib/systemd/system/meditopia@.service" || fail "the unit"
holds "the archive has library, headers, command, pages, completions, documents and units"

PKG_CONFIG_PATH=$opt/lib/pkgconfig
export PKG_CONFIG_PATH
# shellcheck disable=SC2046 # what pkg-config says are words
cc "$consumer/main.c" $(pkg-config --cflags --libs meditopia) -o "$WORK/shared"
LD_LIBRARY_PATH=$opt/lib delivers "$WORK/shared"
# The linker warns that names and users are looked up by libraries of the same glibc.
# shellcheck disable=SC2046
cc -static "$consumer/main.c" $(pkg-config --static --cflags --libs meditopia) -o "$WORK/static" 2>"$WORK/said" ||
  fail "$(cat "$WORK/said")"
delivers "$WORK/static"
cmake -S "$consumer" -B "$WORK/cmake" -DCMAKE_PREFIX_PATH="$opt" -DWANTED="${VERSION%.*}" >/dev/null
cmake --build "$WORK/cmake" >/dev/null 2>&1 || fail "CMake does not build"
for program in shared static from_c; do delivers "$WORK/cmake/$program"; done
holds "programs are linked by pkg-config and CMake, shared and static, and deliver"

cc -I"$opt/include" "$here/fork.c" -o "$WORK/fork" -ldl
delivers "$WORK/fork" "$opt/lib/libmeditopia.so.0"
holds "a child that is forked after the library was closed lets go of the sender's lock"
