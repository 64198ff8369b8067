#!/bin/sh
# Shows real events on their way from a C program to a local Partners API: demo.sh BUILD_DIR
#
# Needs nothing but what `make demo` has built: the library, the quickstart and the `meditopia`
# command, all in BUILD_DIR. Writes to a temporary directory of its own and removes it.
set -eu

built=$(cd "$1" && pwd)

dir=$(mktemp -d "${TMPDIR:-/tmp}/meditopia-demo.XXXXXX")
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' HUP INT TERM

# The environment wins over a file, and this demo is not about yours.
for name in $(env | sed -n 's/^\(MEDITOPIA_[A-Z_]*\)=.*/\1/p'); do unset "$name"; done

heading() { printf '\n== %s\n' "$*"; }

# The token that `meditopia sandbox` takes unless told another.
(umask 077 && echo sandbox-token >"$dir/token")
cat >"$dir/meditopia.toml" <<END
spool = "$dir/spool"
bearer_token_file = "$dir/token"
END

heading "1. A C program's configuration; the local API sets the endpoint in the environment"
cat "$dir/meditopia.toml"

heading "2. bindings/c/quickstart.c queues 300 events, two of users that the API does not know, and flushes"
code=0
LD_LIBRARY_PATH="$built${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" \
  "$built/meditopia" sandbox --unknown-prefix unknown- --expect-events 298 \
  -- sh -c '"$0" "$1" >"$2" 2>&1' "$built/quickstart" "$dir/meditopia.toml" "$dir/program" \
  >"$dir/sandbox" 2>"$dir/complaint" || code=$?
cat "$dir/program"

heading "3. What the API received: one bad event refuses its whole request, and yet only the two are missing"
cat "$dir/sandbox" "$dir/complaint"

heading "4. Checked"
fail() {
  echo "The demo failed: $*" >&2
  exit 1
}
[ "$code" -eq 0 ] || fail "the program or the API's count, exit code $code; see above"
rejected=$(grep -c '^rejected #' "$dir/program") || :
[ "$rejected" -eq 2 ] || fail "2 events should be listed as rejected, $rejected are"
[ "$(grep -c '"partner_user_id":"unknown-' "$dir/program")" -eq 2 ] || fail "others than the unknown users are rejected"
grep -q '^delivered 298, rejected 2, pending 0, in doubt 0$' "$dir/program" || fail "the report should say 298 and 2"
grep -q 'and 0 identical to earlier ones,$' "$dir/sandbox" || fail "an event was sent twice"
echo "298 events accepted, 2 rejected with the API's reason, none lost, none sent twice."
