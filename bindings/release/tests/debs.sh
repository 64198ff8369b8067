#!/bin/sh
# The Debian packages, as lintian sees them, and what they depend on. debian11.sh and bindings/cpp/tests/deb.sh install them.
. "$(dirname "$0")/part.sh"
lintian --fail-on error --no-tag-display-limit "$DIST"/*.deb 2>"$WORK/complaints" >&2 || fail "lintian: $(cat "$WORK/complaints")"
for package in libmeditopia0 meditopia; do
  [ "$(dpkg-deb -f "$DIST/${package}_${VERSION}_amd64.deb" Depends)" = 'libc6 (>= 2.17)' ] ||
    fail "$package depends on $(dpkg-deb -f "$DIST/${package}_${VERSION}_amd64.deb" Depends)"
done
holds "lintian has no error for the Debian packages, and they ask for glibc 2.17 alone"
