#!/bin/sh
# Shows a fleet at work, with what goes wrong in one: demo.sh BUILD_DIR
#
# Four hosts hand their events to PostgreSQL, two relays deliver them to a local API that knows only the relays'
# address and token. One relay is killed and the database crashes in the middle; at the end everything has arrived,
# in order. Needs PostgreSQL's programs and Python, and the `meditopia` command in BUILD_DIR. Everything is in a
# temporary directory, which is removed; the server runs as an ordinary user, and is reached over a socket in there.
set -eu

heading() { printf '\n== %s\n' "$*"; }
fail() {
  echo "The demo failed: $*" >&2
  exit 1
}

if [ "$#" -eq 1 ]; then
  built=$(cd "$1" && pwd)
  dir=$(mktemp -d "${TMPDIR:-/tmp}/meditopia-fleet.XXXXXX")
  # The environment wins over a file, and this demo is not about yours.
  for name in $(env | sed -n 's/^\(MEDITOPIA_[A-Z_]*\|PG[A-Z]*\)=.*/\1/p'); do unset "$name"; done
  code=0
  "$built/meditopia" sandbox --expect-events 4100 -- sh "$0" "$built" "$dir" || code=$?
  rm -rf "$dir"
  exit "$code"
fi

built=$1
dir=$2
PATH=$built:$PATH
endpoint=$MEDITOPIA_ENDPOINT
token=$MEDITOPIA_BEARER_TOKEN
unset MEDITOPIA_BEARER_TOKEN

# The newest server that is installed; its programs are not in the path.
postgres=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -n | tail -n 1)
[ -n "$postgres" ] || fail "PostgreSQL is not installed: apt-get install postgresql"
mkdir -m 755 "$dir/postgres"
as_server=
if [ "$(id -u)" -eq 0 ]; then
  # The server refuses root.
  as_server="setpriv --reuid=65534 --regid=65534 --clear-groups --"
  chown 65534:65534 "$dir/postgres"
fi
chmod 711 "$dir"
server() {
  (cd / && $as_server "$postgres/pg_ctl" -D "$dir/postgres/data" -l "$dir/postgres/log" -w -s "$@") >/dev/null
}
sql() {
  "$postgres/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$dir/postgres" -U postgres shop
}

pids=
clean_up() {
  for pid in $pids; do kill "$pid" 2>/dev/null || :; done
  server -m immediate stop 2>/dev/null || :
}
trap clean_up EXIT
trap 'exit 130' HUP INT TERM

heading "1. A PostgreSQL server of its own, and in it a fleet of 4 lanes"
(cd / && $as_server "$postgres/initdb" -D "$dir/postgres/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 >/dev/null)
echo "listen_addresses = ''
unix_socket_directories = '$dir/postgres'" >>"$dir/postgres/data/postgresql.conf"
server start
"$postgres/createdb" -h "$dir/postgres" -U postgres shop
echo "postgres://postgres@/shop?host=$dir/postgres" >"$dir/store"
meditopia fleet init --store-file "$dir/store" --lanes 4 --endpoint "$endpoint"

heading "2. Four hosts forward; they have no token, and know the database alone"
mkdir -m 700 "$dir/hosts"
export MEDITOPIA_FORWARD_INTERVAL_MS=100
for host in 1 2 3 4; do
  meditopia forward "$dir/hosts/$host" --store-file "$dir/store" 2>"$dir/host-$host.log" &
  pids="$pids $!"
done
echo "their journals: $dir/hosts/1 to 4"

heading "3. Two relays share the lanes; they have the token, and their address is allowed"
(umask 077 && echo "$token" >"$dir/token")
cat >"$dir/relay.toml" <<END
store_file = "$dir/store"
bearer_token_file = "$dir/token"
flush_interval_ms = 100
# Short, so that a dead relay's leases are: the defaults are 10 s and 30 s.
connect_timeout_ms = 1000
request_timeout_ms = 2000
END
cat "$dir/relay.toml"
relay() {
  MEDITOPIA_RELAY_NAME=relay-$1 meditopia run --config "$dir/relay.toml" 2>>"$dir/relay-$1.log" &
  relay_pid=$!
  pids="$pids $relay_pid"
}
relay 1
first=$relay_pid
relay 2

# Each host numbers the events of its 10 users, which is how their order is checked.
enqueue() {
  for host in 1 2 3 4; do
    awk -v host="$host" -v from="$1" 'BEGIN { for (i = from; i < from + 250; i++)
      printf "{\"token\":\"t\",\"partner_user_id\":\"host-%d-user-%d\",\"event\":\"video\",\"event_value\":\"%d\"}\n", host, i % 10, i }' |
      meditopia import --spool "$dir/hosts/$host" --format ndjson - >/dev/null 2>&1
  done
}
lanes() { echo "SELECT r.name || ' owns ' || count(*) || ' lanes' FROM meditopia.lane l JOIN meditopia.relay r ON r.id = l.owner
  WHERE l.lease_until > now() GROUP BY r.name ORDER BY r.name" | sql; }

heading "4. Each host enqueues 250 events"
enqueue 0
sleep 3
lanes

heading "5. 250 more each, and a relay is killed with requests in flight"
enqueue 250
kill -9 "$first"
lanes

heading "6. 250 more each, and the database crashes"
enqueue 500
server -m immediate stop
enqueue 750
echo "250 more each were enqueued while it was away"
server start

heading "7. An application enqueues 100 events in a transaction of its own; one that is rolled back leaves nothing"
sql <<END
BEGIN;
SELECT count(meditopia.enqueue('t', 'sql-user', 'audio', i::text)) || ' enqueued' FROM generate_series(1, 100) i;
COMMIT;
BEGIN;
SELECT count(meditopia.enqueue('t', 'sql-user', 'audio', 'never')) || ' enqueued and rolled back';
ROLLBACK;
END
relay 1

heading "8. What the API received"
python3 - "$endpoint" 4100 <<'END' || fail "see above; the logs were in $dir"
import json, sys, time, urllib.request
from urllib.parse import urlsplit

endpoint, wanted = urlsplit(sys.argv[1]), int(sys.argv[2])
ledger = f"http://{endpoint.netloc}/sandbox/ledger"
read = lambda url: urllib.request.urlopen(url).read()
until = time.monotonic() + 50
while json.loads(read(ledger))["distinct_events"] < wanted and time.monotonic() < until:
    time.sleep(0.2)
seen, last, repeated, disorder = set(), {}, 0, 0
for line in read(ledger + "/events").splitlines():
    event = json.loads(line)["event"]
    user, number = event["partner_user_id"], event["event_value"]
    assert number != "never", "an event of a rolled back transaction arrived"
    if (user, number) in seen:
        repeated += 1
        continue
    seen.add((user, number))
    disorder += int(number) < last.get(user, -1)
    last[user] = int(number)
print(f"{len(seen)} of {wanted} events, {wanted - len(seen)} lost, {disorder} out of order")
print(f"{repeated} came a second time, in requests that were in flight when a relay or the database died")
sys.exit(len(seen) != wanted or disorder != 0)
END
lanes
echo "SELECT count(*) || ' events are left in the database' FROM meditopia.run" | sql
