#!/bin/sh
# Makes Debian packages of what was built: deb.sh BUILD_DIR OUT_DIR
#
#   libmeditopia0     the shared library
#   libmeditopia-dev  headers, static library, pkg-config and CMake files, manual pages
#   meditopia         the command, if it is built
#
# By dpkg-deb alone, from the tree of stage.sh. Who packages them: DEBFULLNAME and DEBEMAIL, else the authors that
# Cargo.toml names. The packages ask for the glibc that their files are bound to. Needs dpkg-dev and Python.
set -eu
umask 022

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
sh "$here/check_built.sh" "$1"
built=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)

version=$(sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' "$root/Cargo.toml")
arch=$(dpkg --print-architecture)
lib=lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)
maintainer=$(sed -n 's/^authors = \["\(.*\)"\]/\1/p' "$root/Cargo.toml")
[ -z "${DEBEMAIL:-}" ] || maintainer="${DEBFULLNAME:-${maintainer% <*}} <$DEBEMAIL>"
SOURCE_DATE_EPOCH=$(sh "$root/bindings/release/epoch.sh")
LC_ALL=C
export SOURCE_DATE_EPOCH LC_ALL

work=$(mktemp -d "${TMPDIR:-/tmp}/meditopia-deb.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM
mkdir "$work/tree"
sh "$here/stage.sh" "$built" "$work/tree" "$lib" /usr
find "$work/tree/share/man" -type f -exec gzip -9n {} +
# Debian has the licences elsewhere, and one changelog.
rm "$work"/tree/share/doc/meditopia/LICENSE-* "$work/tree/share/doc/meditopia/CHANGELOG.md"

# Moves parts of the tree into a package: take PACKAGE PATH...
take() {
  package=$1
  shift
  for path; do
    mkdir -p "$work/$package/usr/$(dirname "$path")"
    mv "$work/tree/$path" "$work/$package/usr/$path"
  done
}

# Writes what a package has beside its files, and packs it: pack PACKAGE SECTION DEPENDS ABOUT < FIELDS
pack() {
  dir=$work/$1
  doc=$dir/usr/share/doc/$1
  mkdir -p "$doc" "$dir/DEBIAN"
  cat >"$doc/copyright" <<END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: libmeditopia

Files: *
Copyright: $(date -u -d "@$SOURCE_DATE_EPOCH" +%Y) $(sed -n 's/^Copyright (c) //p' "$root/LICENSE-MIT")
License: MIT or Apache-2.0

License: MIT
$(sed 's/^$/./; s/^/ /' "$root/LICENSE-MIT")

License: Apache-2.0
 On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.
END
  printf 'libmeditopia (%s) unstable; urgency=medium\n\n  * Release of %s.\n\n -- %s  %s\n' "$version" "$version" \
    "$maintainer" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$doc/changelog.gz"
  (cd "$dir" && find usr -type f -exec md5sum {} + | sort -k 2) >"$dir/DEBIAN/md5sums"
  {
    printf 'Package: %s\nSource: libmeditopia\nVersion: %s\nArchitecture: %s\n' "$1" "$version" "$arch"
    printf 'Maintainer: %s\nSection: %s\nPriority: optional\nDepends: %s\n' "$maintainer" "$2" "$3"
    # Of the files alone: what directories take differs between file systems.
    printf 'Installed-Size: %s\n' "$(find "$dir/usr" -type f -printf '%s\n' | awk '{ sum += int(($1 + 1023) / 1024) } END { print sum }')"
    cat
    printf 'Description: %s\n' "$4"
    printf ' Reports what users did to the Meditopia Partners API: an event is on disk\n'
    printf ' before the call returns, and is delivered in batches, later if the network\n'
    printf ' or the API is not there now.\n'
  } >"$dir/DEBIAN/control"
  find "$dir" -type d -exec chmod 755 {} +
  find "$dir" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  dpkg-deb --root-owner-group --build "$dir" "$out/$1_${version}_$arch.deb"
}

needs() { python3 "$root/bindings/release/needs.py" "$@"; }

docs=libmeditopia-dev
[ ! -e "$work/tree/bin/meditopia" ] || docs=meditopia

for path in "$work/tree/$lib"/libmeditopia.so.*; do take libmeditopia0 "$lib/${path##*/}"; done
library=$work/libmeditopia0/usr/$lib/libmeditopia.so.$version
strip --strip-unneeded --remove-section=.comment --remove-section=.note "$library"
chmod 644 "$library"
mkdir "$work/libmeditopia0/DEBIAN"
echo "libmeditopia 0 libmeditopia0 (>= $version)" >"$work/libmeditopia0/DEBIAN/shlibs"
echo 'activate-noawait ldconfig' >"$work/libmeditopia0/DEBIAN/triggers"
echo 'Multi-Arch: same' | pack libmeditopia0 libs "$(needs "$library")" \
  'durable queue of user-activity events - shared library'

take "$docs" share/doc/meditopia
take libmeditopia-dev "$lib/libmeditopia.so" "$lib/libmeditopia.a" "$lib/pkgconfig" "$lib/cmake" include share/man/man3
echo 'Multi-Arch: same' | pack libmeditopia-dev libdevel "libmeditopia0 (= $version), libc6-dev | libc-dev" \
  'durable queue of user-activity events - development files'

if [ -e "$work/tree/bin/meditopia" ]; then
  # Debian's zsh looks there.
  mv "$work/tree/share/zsh/site-functions" "$work/tree/share/zsh/vendor-completions"
  take meditopia bin/meditopia share/bash-completion share/zsh share/fish lib/systemd share/meditopia
  for section in "$work/tree/share/man"/*; do
    [ ! -d "$section" ] || take meditopia "share/man/${section##*/}"
  done
  command=$work/meditopia/usr/bin/meditopia
  strip --strip-unneeded --remove-section=.comment --remove-section=.note "$command"
  pack meditopia utils "$(needs "$command")" 'durable queue of user-activity events - command' </dev/null
fi

rm -rf "$work/libmeditopia0" "$work/libmeditopia-dev" "$work/meditopia"
left=$(find "$work/tree" -type f -o -type l)
[ -z "$left" ] || {
  echo "these are in no package: $left" >&2
  exit 1
}
