#!/usr/bin/env bash
# An experiment in parts: three, of which one is killed and its rest done by two others, merged: the rows of one run. What does
# not belong together is refused by name, and nothing is lost.
. "$ROOT/tests/cli/lib/model.sh"
experiment | sed 's/^samples: 2/samples: 7/; s/^measure.*/&\nrecord: {kept: true}/' >parts.yaml
run() { "$DEPTHKV" run parts.yaml -q -o "$@" >std 2>err; }

run one || fail "one run: $(cat err)"
run many --shard 1/3 || fail "part 1 of 3: $(cat err)"
"$DEPTHKV" status many >out && fail "status says that all is there"
grep -q '^many: .* rows, 0 failed, .* left$' out || fail "status: $(cat out)"
run many --shard 1/2 --limit 3 && fail "a part of another experiment is taken"
grep -q 'holds rows of another experiment' err || fail "another experiment: $(cat err)"

# a part that was killed leaves a torn line and a state that says that it runs
cp -r many torn
state=$(ls torn/shards/*.json)
sed -i 's/"pid": [0-9]*/"pid": 999999/; s/"finished": true/"finished": false/' "$state"
printf '{"schema":1,"cut' >>"${state%.json}.jsonl"
"$DEPTHKV" status torn | grep -q 'stopped' || fail "status of one that was killed: $("$DEPTHKV" status torn)"
for part in 1/2 2/2; do run torn --shard $part || fail "part $part: $(cat err)"; done
"$DEPTHKV" status torn --json >out || fail "status after all parts: $(cat out)"
"$DEPTHKV" report torn -o tables >/dev/null 2>err || fail "report of parts: $(cat err)"
"$DEPTHKV" merge torn -q 2>err || fail "merge: $(cat err)"
grep -q '1 last lines cut off' err || fail "merge does not tell of a torn line: $(cat err)"
comparable one/rows.jsonl | sort >one.rows
comparable torn/rows.jsonl | sort | cmp -s - one.rows || fail "other rows than one run"
cmp -s one/cells.csv torn/cells.csv || { "$DEPTHKV" compare one torn --all --rtol 0 --atol 0 || fail "other cells"; }
[ -f torn/kept.h5 ] || fail "what parts kept is not merged"
[ -z "$(find torn -name '*.jsonl' -path '*shards*')" ] || fail "merged journals are still there"
run torn || fail "a run after the merge: $(cat err)"
[ "$(wc -l <torn/rows.jsonl)" = "$(wc -l <one/rows.jsonl)" ] || fail "a run after the merge computed rows again"

# the same rows twice are merged, others are not
run many --shard 1/1 || fail "part 1 of 1: $(cat err)"
first=$(ls many/shards/1-of-3*.jsonl)
cp "$first" many/shards/0-copy.jsonl
cp -r many differ
"$DEPTHKV" merge many -q 2>err || fail "merge of equal rows: $(cat err)"
grep -q 'twice and equal' err || fail "merge does not tell of equal rows: $(cat err)"
comparable many/rows.jsonl | sort | cmp -s - one.rows || fail "other rows after a merge of equal ones"
sed -i '1s/"score":[0-9.e-]*/"score":0.4242/' differ/shards/0-copy.jsonl
before=$(cat differ/shards/*.jsonl | sha256sum)
"$DEPTHKV" merge differ -q 2>err && fail "rows that differ are merged"
grep -q '0-copy.jsonl:1 and .*1-of-3.*:[0-9]* are rows of the same cell' err || fail "rows that differ: $(cat err)"
[ "$(cat differ/shards/*.jsonl | sha256sum)" = "$before" ] && [ ! -f differ/rows.jsonl ] || fail "a refused merge changed something"

# one that is being written: this shell stands for its process
cp -r torn alive
state=$(ls alive/shards/*.json | head -1)
sed -i "s/\"pid\": [0-9]*/\"pid\": $$/; s/\"started\": [0-9]*/\"started\": $(sed 's/.*) //' /proc/$$/stat | cut -d' ' -f20)/; s/\"finished\": true/\"finished\": false/" "$state"
"$DEPTHKV" merge alive -q 2>err && fail "a shard that runs is merged"
grep -q "still being written.*process $$ on" err || fail "a shard that runs: $(cat err)"
run alive && fail "a run goes on beside a shard"
"$DEPTHKV" status alive | grep -q '1 process' || fail "status of one that runs: $("$DEPTHKV" status alive)"

# job arrays
SLURM_ARRAY_TASK_ID=4 SLURM_ARRAY_TASK_COUNT=2 SLURM_ARRAY_TASK_MIN=3 run array --shard slurm || fail "slurm: $(cat err)"
ls array/shards/2-of-2.* >/dev/null || fail "task 4 of 3-4 is another part than 2 of 2"
for bad in 3/2 0/2 1/0 x 1/2x slurm; do
  run bad --shard $bad && fail "--shard $bad is taken"
  grep -q -e '--shard' err || fail "--shard $bad: $(cat err)"
done
[ ! -e bad ] || fail "a refused part made a folder"
exit 0
