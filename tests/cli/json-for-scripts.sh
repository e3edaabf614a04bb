#!/usr/bin/env bash
# --json: one object a line, on stdout alone.
. "$ROOT/tests/cli/lib/model.sh"
experiment >x.yaml
objects() { # FILE: every line is an object
  [ -s "$1" ] && ! grep -qvE '^\{".*\}$' "$1"
}
"$DEPTHKV" list --json >out 2>err && objects out && [ ! -s err ] || fail "list: $(head -3 out)"
[ "$(wc -l <out)" -eq "$("$DEPTHKV" list | grep -c '^  ')" ] || fail "list --json has another number of things"
grep -q '^{"kind":"policy","name":"snapkv","summary":"' out || fail "snapkv is not in the list"
"$DEPTHKV" list tasks --json >out && ! grep -qv '^{"kind":"task"' out || fail "list tasks: $(head -3 out)"
"$DEPTHKV" describe snapkv --json >out && objects out || fail "describe"
grep -q '"parameters":\[{"name":"window","help":"[^"]*","domain":"integer in \[1, 1000000\]","default":"64"}' out || fail "describe snapkv: $(cat out)"
"$DEPTHKV" describe uniform --json >out && [ "$(wc -l <out)" -eq 2 ] || fail "uniform is an allocator and a head rule: $(cat out)"
"$DEPTHKV" check x.yaml --json --threads 1 >out 2>err && objects out && [ "$(wc -l <out)" -eq 7 ] || fail "check: $(cat err)"
grep -q '^{"model":"tiny","cells":5,"samples":2,"groups":2,"threads":1,"flop":' out || fail "check prints no estimate: $(tail -1 out)"
grep -q '^{"group":"tiny","task":"passkey","prune_after":"all_but_last","weight_dtype":"f32","max_new_tokens":4,"arithmetic":"f32","cache_dtype":"f32","cells":5,"prompt_tokens":396,"weight_bytes":' out ||
  fail "check prints no group: $(tail -1 out)"
"$DEPTHKV" check x.yaml --measure --json >out 2>err && objects out && [ "$(wc -l <out)" -eq 8 ] || fail "check --measure: $(cat err)"
tail -1 out | grep -qE '^\{"measured":"tiny","seconds":[0-9.e-]+,"prefill_seconds":[0-9.e-]+,"decode_seconds":[0-9.e-]+\}$' ||
  fail "check --measure: $(tail -1 out)"
"$DEPTHKV" check x.yaml --measure | grep -qE '^tiny: measured on this machine: [0-9.]+ (s|min) beside loading the model: reading prompts ' || fail "check --measure"
"$DEPTHKV" check x.yaml >out || fail "check"
grep -q '^5 cells x 2 samples, valid$' out && grep -qE '^tiny: 2 layers; about .* on [0-9]+ threads .* GFLOP in 2 groups.*about .* MiB at most: weights ' out ||
  fail "no estimate: $(tail -2 out)"
"$DEPTHKV" run x.yaml -o o -q >out 2>err || fail "run"
"$DEPTHKV" report o --pair random,h2o --json >out 2>err && objects out || fail "report: $(cat err)"
grep -qE '^\{"dir":"o","measure":"kl","a":"random","b":"h2o","diff":[-0-9.e]+,"se":.*,"n":4,"budgets":2\}$' out || fail "report --pair: $(cat out)"
