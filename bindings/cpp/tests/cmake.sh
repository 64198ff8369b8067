#!/bin/sh
# find_package from nothing but the installed files, also after they were moved; and the example service.
. "$(dirname "$0")/part.sh"

moved=$WORK/moved/other\ place
mkdir -p "$WORK/moved" "$WORK/outside"
cp -a "$INSTALLED" "$moved"
cp "$here/consumer"/* "$WORK/outside"

configure() { cmake -S "$1" -B "$2" "-DCMAKE_PREFIX_PATH=$moved" "$3" >"$WORK/cmake" 2>&1; }

mv "$INSTALLED" "$INSTALLED.away" # what is used has to be what was moved
configure "$WORK/outside" "$WORK/outside/build" -DWANTED=0.2 || fail "$(cat "$WORK/cmake")"
cmake --build "$WORK/outside/build" -j2 >"$WORK/cmake" 2>&1 || fail "$(cat "$WORK/cmake")"
mv "$INSTALLED.away" "$INSTALLED"
for program in shared static from_c; do
  against_sandbox 1 "$WORK/outside/build/$program"
done
needs() { readelf -d "$WORK/outside/build/$1" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p'; }
needs shared | grep -qx libmeditopia.so.0 || fail "the shared program does not ask for libmeditopia.so.0"
! needs static | grep -q meditopia || fail "the static program asks for a shared library"
holds "find_package gives a shared and a static library to a project outside the tree, wherever they were moved"

for wanted in 0.3 1 0.2.99; do
  if configure "$WORK/outside" "$WORK/outside/build-$wanted" "-DWANTED=$wanted"; then fail "found as version $wanted"; fi
  grep -q 'version: 0\.2\.' "$WORK/cmake" || fail "CMake does not say which version there is: $(cat "$WORK/cmake")"
done
mv "$moved/lib/libmeditopia.a" "$moved/lib/away"
if configure "$WORK/outside" "$WORK/outside/build-less" -DWANTED=0.2; then fail "found without its static library"; fi
grep -q 'install libmeditopia again' "$WORK/cmake" || fail "CMake does not say what is missing: $(cat "$WORK/cmake")"
mv "$moved/lib/away" "$moved/lib/libmeditopia.a"
holds "find_package refuses another version, and an installation with a file missing"

configure "$ROOT/bindings/cpp" "$WORK/service" -DMEDITOPIA_STATIC=OFF || fail "$(cat "$WORK/cmake")"
cmake --build "$WORK/service" >"$WORK/cmake" 2>&1 || fail "$(cat "$WORK/cmake")"
against_sandbox 200 bash "$here/service.sh" "$WORK/service/service"
holds "the example service takes events from many connections, answers each, and stops cleanly"
