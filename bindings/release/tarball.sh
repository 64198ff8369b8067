#!/bin/sh
# Packs what `make install` installs as an archive that runs wherever it is unpacked: tarball.sh BUILD_DIR OUT.tar.gz
#
# The archive has one directory of its own name. The units in it name /opt/meditopia/bin/meditopia.
set -eu
umask 022

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/meditopia-tarball.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM

name=$(basename "$2" .tar.gz)
mkdir "$work/$name"
sh "$here/../install/stage.sh" "$1" "$work/$name" lib /opt/meditopia
strip --strip-unneeded "$work/$name"/lib/libmeditopia.so.*.*.*
[ ! -e "$work/$name/bin/meditopia" ] || strip --strip-unneeded "$work/$name/bin/meditopia"
find "$work/$name" -type f -exec chmod 644 {} +
find "$work/$name/bin" -type f -exec chmod 755 {} + 2>/dev/null || :
tar --create --directory "$work" --format=gnu --sort=name --mtime="@$(sh "$here/epoch.sh")" \
  --owner=root:0 --group=root:0 "$name" | gzip -9n >"$2"
