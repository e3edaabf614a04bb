#!/usr/bin/env bash
# bench as a table and as CSV; the beginning of names chooses several tests; prefills against the measured limits.
. "$ROOT/tests/cli/lib/model.sh"
"$DEPTHKV" bench -m tiny.h5 -r 1 --only pp512,pp2048+ --csv -q >out.csv || fail "--csv"
awk -F, 'NR == 1 { n = NF } NF != n { print "fields: " $0; bad = 1 } NR > 1 && !($8 > 0 && $5 > 0) { print; bad = 1 }
  END { exit bad || NR != 4 }' out.csv || fail "csv: $(cat out.csv)"
cut -d, -f1 out.csv | tr -d '"' | paste -sd' ' | grep -qx 'test pp512 pp2048+h2o pp2048+scorers' || fail "tests: $(cat out.csv)"
"$DEPTHKV" bench -m tiny.h5 -r 1 --threads 1 --only step32 >out.md 2>err || fail "table: $(cat err)"
grep -q '^| step32 .*| <= 1.20 ' out.md && grep -q '^| bandwidth ' out.md || fail "table: $(cat out.md)"
grep -q 'step32: 1 of 1' err || fail "no progress: $(cat err)"
grep -Eq '^1 test on 1 thread: about [0-9]+ seconds$' err || fail "nothing says how long it will take: $(cat err)"
"$DEPTHKV" bench -m tiny.h5 -r 1 --only all --csv -q >out.csv 2>err || fail "all: $(cat err)"
[ "$(($(wc -l <out.csv) - 1))" = "$("$DEPTHKV" bench -h | awk '/^tests:/ { t = 1; next } !NF { t = 0 } t { n++ } END { print n }')" ] ||
  fail "not all tests: $(cat out.csv)"
"$DEPTHKV" bench -m tiny.h5 -r 1 --only tg32@2048 --weight-dtype bf16 --json -q >out.json || fail "--weight-dtype"
grep -q '"weight_dtype": "bf16"' out.json || fail "bf16: $(cat out.json)"
"$DEPTHKV" bench -m tiny.h5 --only tg32@2048 --weight-dtype f16 2>err && fail "a form that weights are not held in"
grep -q "'f16' is neither f32 nor bf16" err || fail "the message does not say what there is: $(cat err)"
"$DEPTHKV" bench -m nosuch.h5 --only step32 2>err && fail "a model that is not there"
grep -q 'nosuch.h5' err || fail "the message does not name the file: $(cat err)"
