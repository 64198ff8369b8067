#!/bin/sh
# Says what to do where nothing is built yet: check_built.sh BUILD_DIR
#
# It builds nothing: who installs is often root, and root should neither run cargo nor own its files.
set -eu

for file in libmeditopia.so libmeditopia.a; do
  [ -f "$1/$file" ] || {
    printf '%s\n' "$1/$file is not built. Build it as yourself, not as root, and then repeat the command:" "  make release" >&2
    exit 2
  }
done
[ -f "$1/installable/native-static-libs" ] || command -v rustc >/dev/null 2>&1 || {
  printf '%s\n' "$1/installable is missing, and there is no rustc to make it with. Repeat as yourself, not as root:" "  make release" >&2
  exit 2
}
