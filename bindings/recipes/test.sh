#!/bin/sh
# Runs each recipe against the sandbox, as bindings/README.md says: test.sh BUILD_DIR. Node finds koffi where .ci/setup has put it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
built=$(cd "$1" && pwd)
target=$root/${CARGO_TARGET_DIR:-target}
case ${CARGO_TARGET_DIR:-} in /*) target=$CARGO_TARGET_DIR ;; esac
NODE_PATH=$target/node/node_modules
export NODE_PATH

work=$(mktemp -d "${TMPDIR:-/tmp}/meditopia-recipes.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM
for name in $(env | sed -n 's/^\(MEDITOPIA_[A-Z_]*\)=.*/\1/p'); do unset "$name"; done

# A recipe queues two good events and one that is refused, whose message it prints.
delivers() {
  MEDITOPIA_SPOOL=$work/$1 timeout 60 "$built/meditopia" sandbox --expect-events 2 -- "$@" \
    >"$work/said" 2>&1 </dev/null && grep -q yoga "$work/said" || {
    cat "$work/said"
    echo "FAILED: $*" >&2
    exit 1
  }
  echo "ok the recipe for $1 delivers, and tells why an event is refused"
}
delivers node "$here/node.js" "$built/libmeditopia.so"
delivers luajit "$here/luajit.lua" "$built/libmeditopia.so" "$root/include/meditopia_ffi.h"
delivers ruby "$here/ruby.rb" "$built/libmeditopia.so"
for recipe in node.js luajit.lua ruby.rb; do
  [ "$(wc -l <"$here/$recipe")" -le 40 ] || {
    echo "FAILED: $recipe is longer than 40 lines" >&2
    exit 1
  }
done
