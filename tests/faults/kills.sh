#!/usr/bin/env bash
# kills.sh BINARY [ROUNDS]: ends a run by SIGKILL again and again, after a random while each time, and continues it until it
# is over, in ROUNDS folders (default 5). Every round must give the rows of a run that nothing befell.
set -uo pipefail
DEPTHKV=$(realpath "$1") rounds=${2:-5} ROOT=$(realpath "$(dirname "$0")/../..") RANDOM=1
export DEPTHKV ROOT OMP_WAIT_POLICY=passive
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
. "$ROOT/tests/cli/lib/model.sh"
{ experiment | sed 's/samples: 2/samples: 40/'; echo 'record: {kept: true}'; } >x.yaml
"$DEPTHKV" run x.yaml -o whole -q >/dev/null 2>&1 || fail "run"
kills=0 failures=0
for ((r = 0; r < rounds; r++)); do
  for ((k = 0; k < 40; k++)); do
    "$DEPTHKV" run x.yaml -o "o$r" -q >out 2>err &
    pid=$!
    (sleep 0.$(printf %03d $((RANDOM % 400))); kill -KILL $pid) 2>/dev/null &
    watcher=$!
    wait $pid 2>/dev/null
    status=$?
    wait $watcher 2>/dev/null
    [ $status -ne 0 ] || break
    [ $status -eq 137 ] || { failures=$((failures + 1)); echo "round $r: status $status: $(cat err)"; break; }
    kills=$((kills + 1))
  done
  [ $status -eq 0 ] || "$DEPTHKV" run x.yaml -o "o$r" -q >out 2>err || { failures=$((failures + 1)); cat err; }
  [ "$(comparable "o$r/rows.jsonl")" = "$(comparable whole/rows.jsonl)" ] || { failures=$((failures + 1)); echo "round $r: other rows"; }
done
echo "$rounds runs, $kills kills, $failures failures"
[ $failures -eq 0 ]
