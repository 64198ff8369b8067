#!/bin/sh
# Programs with libraries of different versions, on one spool at once.
. "$(dirname "$0")/part.sh"

minor=$(sed -n 's/^#define MEDITOPIA_ABI_MINOR //p' "$INSTALLED/include/meditopia.h")
version=$(sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' "$ROOT/Cargo.toml")
older=$((minor - 1))
other=${version%?}9

# Each version has a library, and a header that programs of its time were compiled with.
for abi in "$older" "$minor"; do
  mkdir "$WORK/abi-$abi" "$WORK/abi-$abi/include"
  cp -r "$INSTALLED/include/." "$WORK/abi-$abi/include"
  sed -i "s/define MEDITOPIA_ABI_MINOR [0-9]*/define MEDITOPIA_ABI_MINOR $abi/" "$WORK/abi-$abi/include/meditopia.h"
  # shellcheck disable=SC2086 # a list of warnings
  c++ -std=c++17 $STRICT -I"$WORK/abi-$abi/include" "$here/versions/main.cpp" -L"$LIB" -lmeditopia -ldl -o "$WORK/abi-$abi/program"
done
python3 "$here/versions/relabel.py" "$LIB/libmeditopia.so.$version" "$WORK/abi-$older/libmeditopia.so.0" "$older" "$other"
cp "$LIB/libmeditopia.so.$version" "$WORK/abi-$minor/libmeditopia.so.0"

cat >"$WORK/at_once" <<'END'
set -eu
for user in 1 2; do
  LD_LIBRARY_PATH=$2 "$2/program" "older-$user" 300 >"$MEDITOPIA_SPOOL.older-$user" &
  eval "older_$user=$!"
  LD_LIBRARY_PATH=$3 "$3/program" "newer-$user" 300 >"$MEDITOPIA_SPOOL.newer-$user" &
  eval "newer_$user=$!"
done
# An older program with the newer library, too.
LD_LIBRARY_PATH=$3 "$2/program" upgraded 300 >"$MEDITOPIA_SPOOL.upgraded"
for process in "$older_1" "$older_2" "$newer_1" "$newer_2"; do wait "$process"; done
[ "$(cat "$MEDITOPIA_SPOOL".older-*)" = "$(printf '%s\n%s' "$4" "$4")" ] # they had the library of their version
[ "$(cat "$MEDITOPIA_SPOOL".newer-* "$MEDITOPIA_SPOOL.upgraded")" = "$(printf '%s\n%s\n%s' "$5" "$5" "$5")" ]
curl -s "${MEDITOPIA_ENDPOINT%/default/*}/sandbox/ledger/events?limit=10000" | python3 -c '
import collections, json, sys
users = collections.defaultdict(dict)
for line in sys.stdin:
    event = json.loads(line)["event"]
    users[event["partner_user_id"]][int(event["event_value"])] = None
assert len(users) == 5 and all(list(numbers) == list(range(300)) for numbers in users.values()), users'
END
against_sandbox 1500 sh "$WORK/at_once" "$WORK/abi-$older" "$WORK/abi-$older" "$WORK/abi-$minor" "$other" "$version"
holds "programs with libraries of two versions send from one spool at once, lose nothing and keep each user's order"

cat >"$WORK/refused" <<'END'
set -eu
LD_LIBRARY_PATH=$3 "$3/program" newer 10 >"$MEDITOPIA_SPOOL.newer"
! LD_LIBRARY_PATH=$2 "$3/program" refused 10 >"$MEDITOPIA_SPOOL.refused"
case $(cat "$MEDITOPIA_SPOOL.refused") in
"ABI_MISMATCH: $2/libmeditopia.so.0 is libmeditopia $4 with ABI 0.$6"*"a meditopia.h of ABI 0.$7"*) ;;
*) cat "$MEDITOPIA_SPOOL.refused"; exit 1 ;;
esac
# A store that a later version has upgraded: an older program enqueues, says why it does not send, and loses nothing.
ledger=$MEDITOPIA_SPOOL/ledger/0000000000000001
python3 - "$ledger" <<'PYTHON'
import struct, sys
# The header of a file of the store: its version at byte 8, a CRC32C at byte 60.
def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
own = open(sys.argv[1], "rb").read()
open(sys.argv[1] + ".own", "wb").write(own)
newer = own[:8] + struct.pack("<I", struct.unpack_from("<I", own, 8)[0] + 1) + own[12:60]
open(sys.argv[1], "wb").write(newer + struct.pack("<I", crc32c(newer)) + own[64:])
PYTHON
mv "$ledger.own" "$MEDITOPIA_SPOOL.own"
! LD_LIBRARY_PATH=$3 "$3/program" waits 10 >"$MEDITOPIA_SPOOL.waits"
case $(cat "$MEDITOPIA_SPOOL.waits") in *_STORE:*version*) ;; *) cat "$MEDITOPIA_SPOOL.waits"; exit 1 ;; esac
cp "$MEDITOPIA_SPOOL.own" "$ledger"
LD_LIBRARY_PATH=$3 "$3/program" after 10 >"$MEDITOPIA_SPOOL.after"
END
against_sandbox 30 sh "$WORK/refused" "$WORK/abi-$older" "$WORK/abi-$older" "$WORK/abi-$minor" "$other" "$version" "$older" "$minor"
holds "a library that is too old, and a store of a later version, are refused with what both are, and nothing is lost"
