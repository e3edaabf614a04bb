#!/usr/bin/env bash
# Standard streams that are closed, full, or read by nobody.
. "$ROOT/tests/cli/lib/model.sh"
experiment | sed 's/, h2o//; s/, 0.5//' >x.yaml
"$DEPTHKV" run x.yaml -o whole -q >table || fail "run"

# A journal must not get the number of a closed stderr, and with it what is said there.
"$DEPTHKV" run x.yaml -o closed <&- >&- 2>&- || fail "run with closed streams: $?"
[ "$(comparable whole/rows.jsonl)" = "$(comparable closed/rows.jsonl)" ] || fail "closed streams change rows"
"$DEPTHKV" report closed >closed.table || fail "what was written with closed streams can't be read"

# What was printed has arrived, or the command fails and says why.
[ -w /dev/full ] || { echo "SKIP no /dev/full" >&2; exit 77; }
t() { # STATUS ARGUMENTS...
  local want=$1 status
  shift
  "$DEPTHKV" "$@" >/dev/full 2>err
  status=$?
  [ $status -eq "$want" ] && grep -q 'standard output: No space left on device' err ||
    fail "depthkv $* >/dev/full: status $status, expected $want: $(cat err)"
}
t 1 -h
t 1 --version
t 1 run -h
t 1 list
t 1 describe h2o
t 1 check x.yaml
t 1 check x.yaml --json
t 1 run x.yaml -o full -q
t 1 report whole
"$DEPTHKV" run x.yaml -o fewer --limit 1 -q >/dev/null || fail "run of one sample"
t 2 compare whole fewer # differences are printed
t 1 generate -m tiny.h5 -n 4 abc
t 1 samples passkey -m tiny.h5 --param length=400 -n 1
t 1 samples passkey -m tiny.h5 --param length=1500 -n 9 # more than stdio keeps back
t 1 trace x.yaml --cell "$("$DEPTHKV" check x.yaml --json | sed -n 's/.*"cell":"\([0-9a-f]*\)".*"policy":"random".*/\1/p')"
[ "$(comparable whole/rows.jsonl)" = "$(comparable full/rows.jsonl)" ] || fail "a full stdout changes rows"

# A reader that goes away ends the command without a word.
(trap '' PIPE && exec "$DEPTHKV" describe h2o 2>err) | true
[ ! -s err ] || fail "a reader that went away: $(cat err)"
