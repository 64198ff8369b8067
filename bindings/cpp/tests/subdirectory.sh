#!/bin/sh
# The repository as a part of another CMake project: add_subdirectory and FetchContent.
. "$(dirname "$0")/part.sh"

outside=$WORK/parts
mkdir -p "$outside"
cp "$here/consumer/main.c" "$here/consumer/main.cpp" "$outside"
project() { # HOW
  cat >"$outside/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.16)
project(consumer C CXX)
$1
add_executable(shared main.cpp)
target_compile_features(shared PRIVATE cxx_std_17)
target_link_libraries(shared PRIVATE meditopia::meditopia)
add_executable(static main.cpp)
target_compile_features(static PRIVATE cxx_std_17)
target_link_libraries(static PRIVATE meditopia::static)
add_executable(from_c main.c)
target_link_libraries(from_c PRIVATE meditopia::static)
END
}
build() { # DIRECTORY OPTIONS...
  directory=$outside/$1
  shift
  cmake -S "$outside" -B "$directory" "$@" >"$WORK/cmake" 2>&1 && cmake --build "$directory" -j2 >"$WORK/cmake" 2>&1
}

project "add_subdirectory(\"$ROOT\" meditopia)"
build added "-DMEDITOPIA_BUILT=$BUILT" || fail "$(cat "$WORK/cmake")"
for program in shared static from_c; do against_sandbox 1 "$outside/added/$program"; done
readelf -d "$outside/added/shared" | grep -q 'NEEDED.*\[libmeditopia.so.0\]' || fail "not linked by its soname"
! readelf -d "$outside/added/static" | grep -q 'NEEDED.*meditopia' || fail "the static program asks for the library"
holds "add_subdirectory gives a shared and a static library"

project "include(FetchContent)
FetchContent_Declare(meditopia SOURCE_DIR \"$ROOT\")
FetchContent_MakeAvailable(meditopia)"
build fetched "-DMEDITOPIA_BUILT=$BUILT" || fail "$(cat "$WORK/cmake")"
against_sandbox 1 "$outside/fetched/shared"
holds "FetchContent gives the same"

# The rule for cargo, with one that copies what is built, because the real one takes minutes.
mkdir "$WORK/cargo bin"
cat >"$WORK/cargo bin/cargo" <<END
#!/bin/sh
[ "\$*" = "build --locked --profile demo --target-dir $outside/cargo/_deps/meditopia-build/cargo" ] || { echo "cargo \$*"; exit 1; }
[ -e Cargo.toml ] || exit 1
mkdir -p "\$6/demo" && cp -L "$BUILT/libmeditopia.so" "$BUILT/libmeditopia.a" "\$6/demo"
END
chmod +x "$WORK/cargo bin/cargo"
build cargo "-DMEDITOPIA_CARGO=$WORK/cargo bin/cargo" -DMEDITOPIA_CARGO_PROFILE=demo || fail "$(cat "$WORK/cmake")"
for program in shared static; do against_sandbox 1 "$outside/cargo/$program"; done
holds "without a built library cargo is asked for it"

if HOME=/none CARGO_HOME=/none PATH=/usr/bin:/bin build without -DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF; then fail "built without cargo"; fi
grep -q 'install cargo' "$WORK/cmake" || fail "CMake does not say what is missing: $(cat "$WORK/cmake")"
holds "without cargo CMake says what to do"
