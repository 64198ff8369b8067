#!/bin/sh
# Makes the tree that lies below a prefix: stage.sh BUILD_DIR TREE LIBDIR_BELOW_PREFIX PREFIX
#
# BUILD_DIR has libmeditopia.so and libmeditopia.a, perhaps the `meditopia` command. `make release` has left in
# BUILD_DIR/installable what needs the binutils and rustc to make; without it, it is made now.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
built=$1 tree=$2 librel=$3 prefix=$4
version=$(sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' "$root/Cargo.toml")
soname=libmeditopia.so.$(sed -n 's/^#define MEDITOPIA_ABI_MAJOR //p' "$root/include/meditopia.h")

sh "$here/check_built.sh" "$built"

# The way from a directory back up to the prefix: lib/pkgconfig is ../..
up() { printf '%s' "$1" | sed 's,[^/][^/]*,..,g'; }

# "-lm -lc": what a program that links the static library has to add.
native_libraries() {
  cat "$built/installable/native-static-libs" 2>/dev/null || sh "$here/native_libraries.sh"
}

# pkg-config takes a system prefix by its name, so that it can leave out what compilers know; else the
# tree may be moved.
pc_prefix() {
  # shellcheck disable=SC2016 # pkg-config's variable
  case $prefix in
  /usr | /usr/local) printf '%s' "$prefix" ;;
  *) printf '${pcfiledir}/%s' "$(up "$librel/pkgconfig")" ;;
  esac
}

fill() {
  # The fifth byte of an ELF file is 1 or 2: addresses of 32 or 64 bits.
  pointer=$(($(od -An -tu1 -j4 -N1 "$built/libmeditopia.so") * 4))
  sed -e "s,@VERSION@,$version,g" -e "s,@SONAME@,$soname,g" -e "s,@LIBREL@,$librel,g" \
    -e "s,@PC_PREFIX@,$(pc_prefix),g" -e "s,@UP@,$(up "$librel/cmake/meditopia"),g" \
    -e "s,@POINTER@,$pointer,g" -e "s,@NATIVE@,$native,g" \
    -e "s,@NATIVE_LIST@,$(printf '%s' "$native" | sed 's/^-l//; s/  *-l/;/g'),g" "$1"
}

native=$(native_libraries)
mkdir -p "$tree/$librel/pkgconfig" "$tree/$librel/cmake/meditopia" "$tree/include/meditopia" "$tree/share/man/man3"

cp "$built/libmeditopia.so" "$tree/$librel/libmeditopia.so.$version"
ln -s "libmeditopia.so.$version" "$tree/$librel/$soname"
ln -s "$soname" "$tree/$librel/libmeditopia.so"
if [ "$built/installable/libmeditopia.a" -nt "$built/libmeditopia.a" ]; then
  cp "$built/installable/libmeditopia.a" "$tree/$librel"
else
  sh "$here/static.sh" "$built" "$tree/$librel/libmeditopia.a"
fi
fill "$here/meditopia.pc.in" >"$tree/$librel/pkgconfig/meditopia.pc"
for file in meditopiaConfig.cmake meditopiaConfigVersion.cmake; do
  fill "$here/$file.in" >"$tree/$librel/cmake/meditopia/$file"
done
cp "$root"/include/*.h "$root"/include/*.hpp "$tree/include"
cp "$root"/include/meditopia/*.hpp "$tree/include/meditopia"
sh "$here/documents.sh" "$tree/share/doc/meditopia"
awk -v out="$tree/share/man/man3" -v version="$version" -f "$here/man.awk" "$root/include/meditopia.h"

if [ -x "$built/meditopia" ]; then
  command=$built/meditopia
  completions=$tree/share/bash-completion/completions
  zsh=$tree/share/zsh/site-functions
  fish=$tree/share/fish/vendor_completions.d
  mkdir -p "$tree/bin" "$completions" "$zsh" "$fish"
  cp "$command" "$tree/bin"
  "$command" man --out "$tree/share/man/man1"
  "$command" completions bash >"$completions/meditopia"
  "$command" completions zsh >"$zsh/_meditopia"
  "$command" completions fish >"$fish/meditopia.fish"
  mkdir -p "$tree/lib/systemd/system" "$tree/share/meditopia/prometheus"
  # They name files below /usr.
  for file in "$root"/bindings/systemd/*.service "$root"/bindings/systemd/*.timer "$root/bindings/prometheus/meditopia.rules.yml"; do
    case $file in *.yml) to=share/meditopia/prometheus ;; *) to=lib/systemd/system ;; esac
    sed -e "s,/usr/bin/meditopia,$prefix/bin/meditopia,g" -e "s,/usr/share/doc/meditopia,$prefix/share/doc/meditopia,g" \
      "$file" >"$tree/$to/${file##*/}"
  done
  cp "$root/bindings/prometheus/dashboard.json" "$tree/share/meditopia/prometheus"
fi
