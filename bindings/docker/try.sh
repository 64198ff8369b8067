#!/bin/sh
# Does what compose.yaml and compose.sandbox.yaml say with a root in which dockerfile.py has carried out a Dockerfile:
# try.sh php|python ROOT
#
# Application, sender and sandbox are processes with a read-only root, one user and one volume; they share a network of
# their own. The first argument that is `inside` is this script's own, in that network.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ "$1" = inside ] || exec unshare --net sh "$here/try.sh" inside "$@"
language=$2
root=$3
ip link set lo up

volume=$(mktemp -d)
logs=$(mktemp -d)
started=
# unshare ignores SIGTERM, and takes its child with it.
trap 'kill -KILL $started 2>/dev/null || :; wait; rm -rf "$volume" "$logs"' EXIT
trap 'exit 130' HUP INT TERM
mkdir -p "$root/run/secrets"
cp "$here/sandbox.token" "$root/run/secrets/meditopia_token"
MEDITOPIA_ENDPOINT=http://127.0.0.1:8080/default/v1/events
export MEDITOPIA_ENDPOINT

in_container() {
  exec python3 "$here/dockerfile.py" run "$here/$language/Dockerfile" "$root" "$volume" "$@"
}
sender() {
  MEDITOPIA_BEARER_TOKEN_FILE=/run/secrets/meditopia_token
  export MEDITOPIA_BEARER_TOKEN_FILE
  in_container meditopia run --drain-timeout=20
}
request() {
  case $language in
  php) REQUEST_METHOD=GET SCRIPT_FILENAME=/srv/myapp/public/index.php cgi-fcgi -bind -connect 127.0.0.1:9000 ;;
  python) curl --silent --show-error --fail http://127.0.0.1:8000/ ;;
  esac
}
wait_until() {
  for _ in $(seq 600); do
    ! "$@" >"$logs/last" 2>&1 || return 0
    sleep 0.1
  done
  echo "$* did not succeed" >&2
  cat "$logs"/* >&2
  exit 1
}
delivered() {
  curl --silent "http://127.0.0.1:8080/sandbox/ledger" | grep -q "\"accepted_events\":$1,"
}
healthy() {
  (in_container sh -c 'meditopia status --check || exit 1')
}
# The process of a container that has this command: what Docker sends signals to.
main_process() {
  pgrep --parent "$1"
}

(in_container meditopia sandbox --port=8080 --token=sandbox-token --stay) >"$logs/sandbox" 2>&1 &
started="$started $!"
wait_until delivered 0
(in_container) >"$logs/app" 2>&1 &
started="$started $!"
wait_until request
cat "$logs/last"
(in_container touch /srv/myapp/file) 2>&1 | grep 'Read-only file system'
echo "the health check of a spool without a sender: $(healthy 2>&1 || :)"

(sender) >"$logs/sender" 2>&1 &
sender=$!
started="$started $sender"
wait_until delivered 1
wait_until healthy
echo "the health check beside the sender: $(healthy)"

# docker stop: SIGTERM to the first process of the container.
wait_until main_process "$sender"
kill -TERM "$(main_process "$sender")"
status=0
wait "$sender" || status=$?
echo "the sender ended with $status: $(tail -n 1 "$logs/sender")"

request
(sender) >"$logs/sender" 2>&1 &
started="$started $!"
wait_until delivered 2
echo "what was queued without a sender is delivered by the next one"
ls -ld "$volume" "$volume/meditopia"
