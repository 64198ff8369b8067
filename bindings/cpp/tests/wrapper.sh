#!/bin/sh
# meditopia.hpp against the sandbox: each story a process, a spool and a sandbox of its own.
. "$(dirname "$0")/part.sh"

build() { # PROGRAM OPTIONS...
  program=$1
  shift
  # shellcheck disable=SC2086 # a list of warnings
  "${CXX:-c++}" -std=c++17 $STRICT -Wshadow -Wsign-conversion -I"$INSTALLED/include" "$@" \
    -L"$LIB" "-Wl,-rpath,$LIB" -lmeditopia -ldl -pthread -o "$WORK/$program"
}

build wrapper "$here"/*.cpp
"$WORK/wrapper" >"$WORK/stories"
while read -r name events options; do
  case $options in
  *' '*) SANDBOX_OPTIONS=$(printf '%s\n%s' "${options%% *}" "${options#* }") ;;
  *) SANDBOX_OPTIONS=$options ;;
  esac
  against_sandbox "$events" "$WORK/wrapper" "$name"
  holds "$name"
done <"$WORK/stories"
[ "$(wc -l <"$WORK/stories")" -ge 20 ] || fail "there are fewer stories than there were"
SANDBOX_OPTIONS=

build without "$here/without/exceptions.cpp" -fno-exceptions
against_sandbox 1 "$WORK/without"
holds "without exceptions the noexcept functions do all"

# As if the program were compiled with a header that is newer than the library.
sed 's/define MEDITOPIA_ABI_MINOR [0-9]*/define MEDITOPIA_ABI_MINOR 999/' "$INSTALLED/include/meditopia.h" >"$WORK/newer.h"
build newer -include "$WORK/newer.h" "$here/consumer/main.cpp"
said=$("$WORK/newer" 2>&1) && fail "it took a library that is older than its header"
version=$(sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' "$ROOT/Cargo.toml")
case $said in
"ABI_MISMATCH: $LIB/libmeditopia.so.0 is libmeditopia $version with ABI 0."*"a meditopia.h of ABI 0.999"*) ;;
*) fail "it says only: $said" ;;
esac
holds "a library that does not fit the header is refused, with its path and both versions"

for file in "$here"/*.cpp; do
  # shellcheck disable=SC2086 # a list of warnings
  clang++ -std=c++20 $STRICT -Wshadow -Wsign-conversion -I"$INSTALLED/include" -fsyntax-only "$file"
done
# shellcheck disable=SC2086 # a list of warnings
clang++ -std=c++17 $STRICT -fno-exceptions -I"$INSTALLED/include" -fsyntax-only "$here/without/exceptions.cpp"
holds "clang has nothing to say about the header, neither as C++20 nor without exceptions"
