#!/bin/sh
# The C examples, compiled against the installed header.
. "$(dirname "$0")/part.sh"

cc -std=c99 -Wall -Wextra -Wpedantic -Werror -I"$INSTALLED/include" "$ROOT/bindings/c/daemon.c" -L"$LIB" \
  "-Wl,-rpath,$LIB" -lmeditopia -o "$WORK/daemon"
against_sandbox 100 sh "$ROOT/bindings/c/test_daemon.sh" "$WORK/daemon"
holds "the example daemon queues what it reads, tells its statistics at SIGHUP and stops cleanly at SIGTERM"
printf 't\tu\tvideo\nt\tu\tyoga\nt\tu\tsignin\tvalue\n' >"$WORK/lines"
# shellcheck disable=SC2016 # for the other shell
against_sandbox 2 sh -c '"$0" <"$1"' "$WORK/daemon" "$WORK/lines"
holds "the example daemon leaves out a bad line and delivers the rest at the end of its input"
