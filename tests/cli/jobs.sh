#!/usr/bin/env bash
# Several prompts at once: the same rows, also after Ctrl-C and kill -9, with kept.h5, and where a sample fails.
. "$ROOT/tests/cli/lib/model.sh"
experiment | sed 's/^samples: 2/samples: 6/; s/^measure.*/&\nrecord: {kept: true}/' >jobs.yaml
run() { "$DEPTHKV" run jobs.yaml -q --threads 4 "$@" >std 2>err; }
run --jobs 1 -o one || fail "one job: $(cat err)"
comparable one/rows.jsonl >one.rows
[ "$(wc -l <one.rows)" -eq 30 ] || fail "rows: $(wc -l <one.rows)"
for jobs in 2 3 4; do
  run --jobs $jobs -o some || fail "$jobs jobs: $(cat err)"
  comparable some/rows.jsonl | cmp -s - one.rows || fail "$jobs jobs give other rows"
  [ -s some/kept.h5 ] || fail "no kept.h5"
  run --jobs $jobs -o some || fail "again: $(cat err)"
  grep -q '^0 rows written, 30 were there already' err || fail "nothing was left to do: $(cat err)"
  rm -rf some
done

# what is said
"$DEPTHKV" run jobs.yaml --threads 4 --jobs 2 -o said >std 2>err || fail "said: $(cat err)"
grep -qx '2 prompts at once, 2 threads each' err || fail "how many: $(cat err)"
memory() { "$DEPTHKV" check jobs.yaml --threads 4 --json "$@" 2>/dev/null | grep -o "\"jobs_memory_bytes\":[0-9]*" | cut -d: -f2; }
one=$(memory --jobs 1) four=$(memory --jobs 4)
[ "$one" -gt 0 ] && [ "$four" -gt "$one" ] || fail "check: one prompt $one bytes, four $four"
"$DEPTHKV" check jobs.yaml --threads 4 --jobs 4 2>&1 | grep -q 'with 4 prompts at once (run --jobs 4): about' || fail "check does not tell"
DEPTHKV_FREE_MEMORY=$((four - 1)) "$DEPTHKV" run jobs.yaml --threads 4 --jobs 4 -o little >std 2>err
grep -q 'warning: --jobs 4: memory is free for' err && grep -q '^30 rows written' err || fail "too little memory for four: $(cat err)"
"$DEPTHKV" run jobs.yaml --jobs 0 2>err && fail "no job at all"
grep -q -- '--jobs: expected a whole number' err || fail "which number: $(cat err)"

# prompts whose length only the data tell: those that do not fit side by side wait for one another, and none is refused
for i in 1 2 3 4 5 6; do
  printf '{"id": "%d", "context": "%s", "question": "\\n\\nWhich?", "answers": ["this"]}\n' $i "$(head -c $((2000 + i)) /dev/zero | tr '\0' 'x')"
done >data.jsonl
experiment | sed 's|- passkey.*|- jsonl: {name: d, file: data.jsonl, prompt: "{context}{question}{answer_prefix}", metric: f1}|; s/samples: 2/samples: 6/' >data.yaml
data() { "$DEPTHKV" run data.yaml -q --threads 4 "$@" >std 2>err; }
data --jobs 1 -o data_one || fail "one job: $(cat err)"
DEPTHKV_FREE_MEMORY=1M data --jobs 4 -o data_none && fail "nothing fits, and no row failed"
need=$(sed -n 's/.* needs about \([0-9]*\) MiB more, .*/\1/p' err)
[ "$need" -gt 1 ] && [ "$(grep -c '"status":"failed"' data_none/rows.jsonl)" -eq 30 ] || fail "nothing fits: $(cat err)"
DEPTHKV_FREE_MEMORY=$((need + 1))M data --jobs 4 -o data_four || fail "they do not wait for one another: $(cat err)"
[ "$(comparable data_four/rows.jsonl)" = "$(comparable data_one/rows.jsonl)" ] || fail "rows depend on who waited"

# stopped and killed: what is there is whole, and the rest follows
for signal in TERM KILL TERM KILL; do # INT does not reach what runs in the background
  "$DEPTHKV" run jobs.yaml -q --threads 4 --jobs 3 -o cut >std 2>err &
  pid=$!
  for _ in $(seq 300); do
    [ -s cut/rows.jsonl ] && break
    sleep 0.01
  done
  kill -$signal $pid 2>/dev/null
  wait $pid 2>/dev/null
done
run --jobs 3 -o cut || fail "after signals: $(cat err)"
comparable cut/rows.jsonl | cmp -s - one.rows || fail "other rows after signals"
exit 0
