# What every part starts with: `. part.sh`. The name of a promise is said when it was seen to hold.
# shellcheck shell=sh
set -eu
LIB=$INSTALLED/lib
here=$ROOT/bindings/cpp/tests
STRICT='-Wall -Wextra -Wpedantic -Wconversion -Werror'

holds() { echo "ok $1"; }

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# Runs a command against a sandbox and a spool of its own; the API has to get so many different events.
# SANDBOX_OPTIONS are more options, one a line.
against_sandbox() {
  events=$1
  shift
  spool=$(mktemp -d "$WORK/spool.XXXXXX")
  (
    IFS='
'
    # shellcheck disable=SC2086 # a line each
    MEDITOPIA_SPOOL=$spool/spool timeout 60 "$BUILT/meditopia" sandbox ${SANDBOX_OPTIONS:-} --expect-events "$events" \
      -- "$@" </dev/null
  ) >"$spool/said" 2>&1 || {
    cat "$spool/said" >&2
    fail "$*"
  }
}

# Waits until a command succeeds, 20 seconds at most.
wait_until() {
  tries=0
  until "$@"; do
    tries=$((tries + 1))
    [ "$tries" -lt 400 ] || fail "never came true: $*"
    sleep 0.05
  done
}

# Names of all that is not a directory below $1.
files() { (cd "$1" && find . ! -type d | sort); }
