#!/bin/sh
# Has BIRD announce the route `registry` of bird.conf while Berth is ready, and withdraw it after two failures in a row.
# It runs for ever, as root or in BIRD's group: systemd-run --unit=berth-announce --property=Restart=always THIS-FILE
# Usage: announce.sh [READYZ-URL [BIRD-SOCKET]]
set -u
url=${1:-http://127.0.0.1:9180/readyz}
socket=${2:-/run/bird/bird.ctl}
# Each time anew, and not only at a change: a BIRD that was restarted has forgotten.
tell() { birdc -s "$socket" "$1" registry >/dev/null || echo "BIRD at $socket does not answer" >&2; }
trap 'tell disable; exit 0' TERM INT
failures=2
while :; do
  if curl -fs -m 1 -o /dev/null "$url"; then failures=0; else failures=$((failures + 1)); fi
  if [ "$failures" -eq 0 ]; then tell enable; fi
  if [ "$failures" -ge 2 ]; then tell disable; fi
  sleep 1
done
