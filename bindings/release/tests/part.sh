# What every part starts with: `. part.sh`. The name of a promise is said when it was seen to hold.
# shellcheck shell=sh
set -eu
here=$ROOT/bindings/release/tests
archive=$DIST/meditopia-$VERSION-linux-x86_64.tar.gz

holds() { echo "ok $1"; }

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# The line that README.md tells to type, by its first word, without sudo: these parts run as who may install.
install_line() {
  line=$(sed -n '/^<!-- install -->$/,/^```$/p' "$ROOT/README.md" | sed -n "s/^\(sudo \)\{0,1\}\($1 .*\)/\2/p")
  [ -n "$line" ] || fail "README.md has no line that installs by $1"
  printf '%s\n' "$line"
}

# Unpacks the archive once, as /opt/meditopia would be: its path is in $opt.
opt=$WORK/opt/meditopia
unpack() {
  [ ! -d "$opt" ] || return 0
  mkdir -p "$opt"
  tar -xzf "$archive" --strip-components=1 -C "$opt"
}

# Runs a command against the sandbox of the archive, which has to get one event: delivers COMMAND...
delivers() {
  unpack
  spool=$(mktemp -d "$WORK/spool.XXXXXX")
  MEDITOPIA_SPOOL=$spool/spool timeout 120 "$opt/bin/meditopia" sandbox --expect-events 1 -- "$@" >"$spool/said" 2>&1 </dev/null || {
    cat "$spool/said" >&2
    fail "$*"
  }
}
