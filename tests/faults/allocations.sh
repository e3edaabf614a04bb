#!/usr/bin/env bash
# allocations.sh BINARY PRELOAD [RUNS]: refuses the k-th allocation, and all from the k-th on, to every command in turn, at
# RUNS places each (default 40), spread over all that the command makes. Any signal, hang or status but 0, 1 and 2 fails.
# After each refused `run` the same run is continued, and must give the rows of one that nothing befell.
set -uo pipefail
DEPTHKV=$(realpath "$1") preload=$(realpath "$2") runs=${3:-40} ROOT=$(realpath "$(dirname "$0")/../..")
export DEPTHKV ROOT OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive OPENBLAS_NUM_THREADS=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
. "$ROOT/tests/cli/lib/model.sh"
experiment | sed 's/samples: 2/samples: 1/; s/, 0.5//' >x.yaml
"$DEPTHKV" run x.yaml -o whole -q >/dev/null 2>&1 || fail "run"
failures=0
declare -A total

start() { "$@" >out 2>err </dev/null; } # COMMAND...

judge() { # NAME STATUS WHERE
  local kind=$2
  [ "$2" -le 2 ] || kind="!$2"
  [ "$2" -ne 1 ] && [ "$2" -ne 2 ] || [ -s err ] || kind="!silent"
  total[$1 $kind]=$((${total[$1 $kind]:-0} + 1))
  [[ $kind != !* ]] || { failures=$((failures + 1)); echo "$1, $3: $kind: $(tail -c 200 err)"; }
}

attack() { # NAME COMMAND...: run, which leaves something behind, is continued
  local name=$1 n i k all
  shift
  rm -rf o o.h5
  FAULT_COUNT=$work/count LD_PRELOAD=$preload start "$@" || fail "$name fails by itself: $(cat err)"
  n=$(<count)
  for all in '' 1; do
    for ((i = 0; i < runs; i++)); do
      k=$((1 + (n - 1) * i / (runs > 1 ? runs - 1 : 1)))
      rm -rf o o.h5
      start timeout -k 1 20 env FAULT_AT=$k ${all:+FAULT_ALL=1} LD_PRELOAD=$preload "$@"
      judge "$name" $? "${all:+all from }allocation $k${all:+ on} of $n"
      [ "$name" = run ] || continue
      start "$DEPTHKV" run x.yaml -o o -q && [ "$(comparable o/rows.jsonl)" = "$(comparable whole/rows.jsonl)" ] ||
        { failures=$((failures + 1)); echo "run, allocation $k: other rows when continued: $(cat err)"; }
    done
  done
}

attack check "$DEPTHKV" check x.yaml
attack run "$DEPTHKV" run x.yaml -o o -q
attack report "$DEPTHKV" report whole
attack compare "$DEPTHKV" compare whole whole --all
attack import "$DEPTHKV" import hf -o o.h5 -q
attack generate "$DEPTHKV" generate -m tiny.h5 -n 4 "The pass key is"
attack samples "$DEPTHKV" samples passkey -m tiny.h5 --param length=400 -n 2
for key in "${!total[@]}"; do echo "$key ${total[$key]}"; done | sort | awk '{ n[$1] = n[$1] "  " $2 ": " $3 } END { for (c in n) print c n[c] }' | sort
echo "$failures failures"
[ $failures -eq 0 ]
