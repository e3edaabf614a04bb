#!/usr/bin/env bash
# What does not fit is told before anything runs, with file, line and cell; what only the data tell becomes failed rows,
# and the rest of the run goes on. --memory changes no number.
. "$ROOT/tests/cli/lib/model.sh"
experiment >x.yaml
DEPTHKV_FREE_MEMORY=200k "$DEPTHKV" check x.yaml >out 2>err || fail "check: $(cat err)"
grep -q '^  passkey, prompts of 396 tokens, after all_but_last: 5 cells, about .* MiB: weights' out || fail "check prints no group: $(tail -1 out)"
grep -qE "^warning: x.yaml:1[12]: cell [0-9a-f]{16} \(.*, task 'passkey'\) needs about .* MiB, and .* MiB are free: weights" err || fail "check: $(cat err)"
DEPTHKV_FREE_MEMORY=200k "$DEPTHKV" run x.yaml -o o -q >out 2>err
[ $? -eq 2 ] && [ ! -e o ] && grep -qE "^depthkv: x.yaml:1[12]: cell .* needs about" err || fail "run went on without memory: $(cat err)"
"$DEPTHKV" run x.yaml -o a -q >out 2>err && "$DEPTHKV" run x.yaml -o b -q --memory 1k >out 2>err && "$DEPTHKV" run x.yaml -o c -q --memory 8G >out 2>err ||
  fail "run: $(cat err)"
[ "$(comparable a/rows.jsonl)" = "$(comparable b/rows.jsonl)" ] && [ "$(comparable a/rows.jsonl)" = "$(comparable c/rows.jsonl)" ] ||
  fail "rows depend on --memory"

# prompts whose length only the data tell: one fits, one does not, one is longer than the model's context of 4096
for n in 40 2500 5000; do
  printf '{"id": "%d", "context": "%s", "question": "\\n\\nWhich?", "answers": ["this"]}\n' $n "$(head -c $n /dev/zero | tr '\0' 'x')"
done >data.jsonl
experiment | sed 's|- passkey.*|- jsonl: {name: d, file: data.jsonl, prompt: "{context}{question}{answer_prefix}", metric: f1}|; s/samples: 2/samples: 3/' >y.yaml
"$DEPTHKV" run y.yaml -o d -q >out 2>err
[ $? -eq 1 ] || fail "rows failed, but the status is $?"
[ "$(grep -c '"status":"ok"' d/rows.jsonl)" -eq 10 ] && [ "$(grep -c '"status":"failed"' d/rows.jsonl)" -eq 5 ] || fail "rows: $(cut -c1-80 d/rows.jsonl)"
grep -q "exceed the model's context of 4096" err && grep -qE 'y.yaml:11: .*\(cell [0-9a-f]{16}\)' err || fail "the failure is not told: $(cat err)"
DEPTHKV_FREE_MEMORY=2M "$DEPTHKV" run y.yaml -o e -q >out 2>err
[ $? -eq 1 ] && grep -qE 'a prompt of 250[0-9] tokens needs about .* MiB more, with cell [0-9a-f]{16}, and .* MiB are free' err ||
  fail "memory: $(cat err)"
[ "$(grep '"status":"ok"' e/rows.jsonl | comparable /dev/stdin)" = "$(grep '"status":"ok"' d/rows.jsonl | grep '"question_id":"40"' | comparable /dev/stdin)" ] ||
  fail "the prompt that fits has other rows"
"$DEPTHKV" run y.yaml -o e -q >out 2>err # with memory, what failed is done
[ "$(grep -c '"status":"ok"' e/rows.jsonl)" -eq 10 ] || fail "failed rows are not computed again: $(grep -c '"status":"ok"' e/rows.jsonl)"

# a limit on the address space: whatever the program gets to is refused in words, or runs to the same rows; never a crash.
# (Too little for the loader is the loader's to say; sanitizers reserve more than any limit.)
if ! nm "$DEPTHKV" 2>/dev/null | grep -q __asan_init; then
  export OMP_NUM_THREADS=1
  refused=0
  for limit in 50000 100000 150000 200000 250000 300000 400000 4000000; do
    (ulimit -v $limit && exec "$DEPTHKV" run x.yaml -o limited -q) >out 2>err
    got=$?
    case $got in
    0) break ;;
    127) grep -q 'error while loading shared libraries' err || fail "ulimit -v $limit: $(cat err)" ;;
    1 | 2) grep -qE '^depthkv: .*(memory|MiB)' err || fail "ulimit -v $limit: status $got: $(cat err)"; refused=1 ;;
    *) fail "ulimit -v $limit: status $got: $(cat out err)" ;;
    esac
  done
  [ $refused -eq 1 ] && [ $got -eq 0 ] || fail "no limit refused it, or none sufficed: $(cat err)"
  [ "$(comparable a/rows.jsonl)" = "$(comparable limited/rows.jsonl)" ] || fail "rows depend on ulimit -v"
fi
