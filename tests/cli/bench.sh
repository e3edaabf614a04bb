#!/usr/bin/env bash
# bench runs what fits the model, and its JSON holds a positive number wherever one belongs.
. "$ROOT/tests/cli/lib/model.sh"
"$DEPTHKV" bench -m tiny.h5 -r 2 --only pp8192,tg,step32,sweep32+kl,single --timing --json -q >out.json 2>err ||
  fail "--json: $(cat err)"
[ ! -s err ] || fail "-q is not quiet: $(cat err)"
for test in tg32@2048 tg32@2048+bf16 step32 sweep32+kl single; do
  grep -qF "{\"test\": \"$test\", \"seconds\": [" out.json || fail "$test is missing: $(cat out.json)"
done
grep -q '"test": "pp8192", "skipped": "8192 tokens exceed the model' out.json || fail "pp8192 is not skipped: $(cat out.json)"
[ "$(grep -c '"test": ' out.json)" -eq 6 ] || fail "other tests than those asked for: $(cat out.json)"
[ "$(grep -o '"timing": {' out.json | wc -l)" -eq 5 ] || fail "timings are missing: $(cat out.json)"
[ "$(grep -o '"bandwidth_before": \[[^]]*\], "bandwidth_after": \[[^]]*\]' out.json | tr -cd , | wc -c)" -eq 6 ] ||
  fail "tg32 and step32 have the bandwidth beside each of two repeats: $(cat out.json)"
# null would be NaN or infinity
for key in ratio limit_s mean_s tokens_per_s expected_bytes best; do
  grep -o "\"$key\": [^,}]*" out.json | awk '
    !($2 > 0) || $2 !~ /^[0-9.e+-]+$/ { print "bad: " $0; bad = 1 } END { exit bad || NR == 0 }' || fail "$key"
done
grep -o '"seconds": \[[^]]*' out.json | awk -F, 'NF != 2 { print; bad = 1 } END { exit bad }' || fail "two repeats give two times"

# its old name
"$DEPTHKV" bench -m tiny.h5 -r 1 --only step32 --profile --json -q >old.json 2>err || fail "--profile: $(cat err)"
grep -q '"timing": {' old.json || fail "--profile times nothing: $(cat old.json)"
