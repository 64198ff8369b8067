#!/bin/sh
# The release once more, as docs/releasing.md says, from a clone of the last commit in another directory and with other caches:
# the same bytes.
. "$(dirname "$0")/part.sh"
git -C "$ROOT" diff --quiet HEAD -- || echo "   uncommitted changes are not in the second build"
clone="$WORK/some-other-place"
git clone --quiet "$ROOT" "$clone"
(cd "$clone" && TARGET=target sh bindings/release/build.sh target/dist && sh bindings/release/pack.sh target/dist dist) >"$WORK/said" 2>&1 ||
  fail "$(tail -n 20 "$WORK/said")"
diff "$DIST/SHA256SUMS" "$clone/dist/SHA256SUMS" || fail "the files above differ"
holds "a build from another clone has the same bytes"
