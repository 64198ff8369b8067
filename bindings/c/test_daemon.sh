#!/bin/sh
# Feeds the example daemon through a pipe that stays open, asks it, and stops it: test_daemon.sh PROGRAM
set -eu
said=$MEDITOPIA_SPOOL.daemon
mkfifo "$said.in"
: >"$said"
"$1" <"$said.in" >"$said" 2>"$said.log" &
daemon=$!
trap 'kill $daemon 2>/dev/null || :' EXIT
exec 3>"$said.in"
i=0
while [ $i -lt 100 ]; do
  i=$((i + 1))
  printf 'token\tuser-%s\tvideo\tpart %s\n' $((i % 7)) "$i" >&3
done

# Before the program blocks SIGHUP, which it reads from a descriptor, the signal would end it: the lowest bit of the mask.
tries=0
until grep -q '^SigBlk:.*[13579bdf]$' "/proc/$daemon/status"; do
  tries=$((tries + 1))
  [ $tries -lt 400 ] || exit 1
  sleep 0.05
done

# Until it says by itself that all are queued.
tries=0
until grep -q '"enqueued":100' "$said"; do
  kill -HUP $daemon
  tries=$((tries + 1))
  [ $tries -lt 400 ] || exit 1
  sleep 0.05
done
kill -TERM $daemon
wait $daemon
grep -q '^delivered .* pending 0$' "$said" || { cat "$said" "$said.log"; exit 1; }
