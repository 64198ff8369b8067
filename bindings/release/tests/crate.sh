#!/bin/sh
# The crate's package: cargo unpacks and compiles it, as it does before it publishes.
. "$(dirname "$0")/part.sh"
cd "$ROOT"
"${CARGO:-cargo}" publish --dry-run --locked --allow-dirty --package meditopia --target-dir "$TARGET/package" >"$WORK/said" 2>&1 || fail "$(cat "$WORK/said")"
holds "cargo would publish the crate"
