#!/usr/bin/env bash
# Lets four clients talk to the example service at once, then stops it: service.sh PROGRAM
set -eu

said=$MEDITOPIA_SPOOL.service
"$1" >"$said" 2>"$said.log" &
service=$!
trap 'kill $service 2>/dev/null || :' EXIT
for _ in $(seq 400); do
  grep -q listening "$said" && break
  sleep 0.05
done
port=$(sed -n 's/listening on 127.0.0.1://p' "$said")

client() {
  exec 3<>"/dev/tcp/127.0.0.1/$port"
  for i in $(seq 50); do printf 'token-%s\tuser-%s\tvideo\tpart %s\n' "$1" "$1" "$i"; done >&3
  printf 'token\tuser\tyoga\nnonsense\n' >&3
  for _ in $(seq 50); do
    read -r answer <&3
    [ "$answer" = ok ] || return 1
  done
  read -r answer <&3
  [[ $answer == *event* ]] || return 1
  read -r answer <&3
  [ "$answer" = "not an event" ]
}
clients=()
for user in 1 2 3 4; do
  client "$user" &
  clients+=($!)
done
for one in "${clients[@]}"; do wait "$one"; done

exec 4<>"/dev/tcp/127.0.0.1/$port" # one that is open when it has to stop
kill -TERM $service
wait $service
grep -qx 'delivered .*, pending 0' "$said" || { cat "$said" "$said.log"; exit 1; }
