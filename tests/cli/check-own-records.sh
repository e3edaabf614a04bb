#!/usr/bin/env bash
# What check says of one's own records goes by their prompts, not by the model's context; run and check say when there are
# fewer of them than samples. A record may be a plain text and what follows it, without a question.
. "$ROOT/tests/cli/lib/model.sh"
own() { # SAMPLES MORE: an experiment on r.jsonl
  printf 'schema: 1\nexperiment: own\nmodel: tiny.h5\nsamples: %s\nmeasure: [score, nll]\nsweep:\n  - {policy: knorm, keep: 0.5}\ntasks:\n' "$1"
  printf '  - jsonl: {file: r.jsonl, prompt: "{context}", metric: exact, max_new_tokens: 6%s}\n' "$2"
}
for i in $(seq 10 49); do # 200 bytes, which are tokens, and 202 in every second one
  printf '{"id": "%d", "context": "%d %s", "answers": ["and so on"]}\n' "$i" "$i" "$(printf '%0*d' $((197 + 2 * (i % 2))) 0)"
done >all.jsonl
head -20 all.jsonl >r.jsonl

own 20 '' >x.yaml
"$DEPTHKV" check x.yaml >out 2>err || fail "check: $(cat out err)"
grep -q 'prompts of 202 tokens at most, 201 on average (20 of 20 samples were encoded)' out || fail "sizes: $(cat out)"
"$DEPTHKV" check x.yaml --json >out || fail "check --json: $(cat out)"
grep -q '"prompt_tokens":202,"mean_prompt_tokens":201,"encoded_samples":20,' out || fail "sizes as JSON: $(cat out)"
time_of() { sed -n 's/.*"flop":\([0-9.e+]*\).*/\1/p' out; }
all=$(time_of)

# a length that contexts are cut to counts as well
own 20 ', truncate: middle, max_length: 106' >x.yaml
"$DEPTHKV" check x.yaml --json >out 2>err || fail "truncate: $(cat out err)"
grep -q '"prompt_tokens":100,"mean_prompt_tokens":100,' out || fail "max_length: $(cat out)"
awk "BEGIN { exit !($(time_of) < 0.6 * $all) }" || fail "time does not follow: $(time_of) after $all"

# of many, some are encoded, and it says so
cp all.jsonl r.jsonl
own 40 '' >x.yaml
"$DEPTHKV" check x.yaml >out || fail "check: $(cat out)"
grep -q '(only 32 of 40 samples were encoded)' out || fail "of many: $(cat out)"

# fewer records than samples
head -3 all.jsonl >r.jsonl
own 5 '' >x.yaml
told="task 'jsonl': 3 samples from number 0 on; 5 are asked for"
"$DEPTHKV" check x.yaml >out || fail "check: $(cat out)"
grep -qx "$told" out || fail "check does not say it: $(cat out)"
"$DEPTHKV" run x.yaml -o o -q >out 2>err || fail "run: $(cat err)"
grep -qx "warning: $told" err || fail "run does not say it: $(cat err)"
own 3 '' >x.yaml
"$DEPTHKV" run x.yaml -o o -q >out 2>err || fail "run: $(cat err)"
! grep -q 'asked for' err || fail "said without reason: $(cat err)"
grep -q '"nll":[0-9]' o/rows.jsonl || fail "no nll of a plain text: $(head -c 600 o/rows.jsonl)"
