#!/usr/bin/env bash
# A model half of whose layers have a window: check, run, report, metrics and compare say which layers are pruned, under the
# model's own numbers, and what share of what.
. "$ROOT/tests/cli/lib/model.sh"
"$ROOT/tests/cli/lib/tiny_model" hw windows
"$DEPTHKV" import hw -o w.h5 -q || fail "import"
header() { # SEED
  printf '%s\n' '# What of windows?' 'schema: 1' 'experiment: w' 'model: w.h5' 'tasks:' '  - passkey: {length: 300}' 'samples: 2' \
    "seed: $1" 'max_new_tokens: 2' 'measure: [score, nll, kl]' 'sweep:'
}
{
  header 1
  printf '%s\n' '  - {policy: [knorm, random], keep: 0.5, windows: [keep, prune]}' \
    '  - {policy: h2o, keep: 0.1, layer_budget: {single: {layer: all}}}'
} >x.yaml
"$DEPTHKV" check x.yaml >out 2>err || fail "check: $(cat err)"
grep -q '^w: 8 layers, 4 of them with a window of 24 (not pruned), but in 2 cells with windows: prune; about ' out || fail "$(cat out)"
[ "$(grep -c ' windows=prune' out)" -eq 2 ] && [ "$(grep -c '{"single":{"layer":[1357],' out)" -eq 4 ] || fail "cells: $(cat out)"

"$DEPTHKV" run x.yaml -o o -q >out 2>err || fail "run: $(cat err)"
grep -q '^note: model w: 4 of 8 layers have a window and are never pruned: keep is of the other 4, which hold 93 % of the full cache.s bytes at 29' err ||
  fail "$(cat err)"
# 299 - 2 entries in four layers, 24 in the others: by hand
row() { # POLICY WINDOWS: keep, cache_share, kept
  grep "\"sample\":0,.*\"policy\":\"$1\".*\"windows\":\"$2\"" o/rows.jsonl | grep '"layer_budget":"uniform"' |
    sed -E 's/.*"keep":([^,]*),.*"kept":(\[[^]]*\]).*"cache_share":([^,]*),.*/\1 \3 \2/'
}
n=$(sed -nE '1s/.*"n":([0-9]+),"kept".*/\1/p' o/rows.jsonl)
m=$((n / 2))
row knorm keep | awk -v n="$n" -v m="$m" '{
  bad = $1 - m / n; worse = $2 - (4 * m + 96) / (4 * n + 96)
  exit !(bad * bad < 1e-18 && worse * worse < 1e-18 && $3 == "[24," m ",24," m ",24," m ",24," m "]")
}' || fail "knorm: $(row knorm keep)"
row knorm prune | grep -qF "[12,$m,12,$m,12,$m,12,$m]" || fail "knorm, windows: prune: $(row knorm prune)"
row random prune | awk '{ exit !($1 == $2) }' || fail "both shares are of all layers there: $(row random prune)"
grep -q 'kept | of bytes | tokens' o/table.md && grep -q 'windows prune' o/table.md || fail "table: $(cat o/table.md)"
grep -q '"attention_lost":\[null,[0-9.e-]*,null,' o/rows.jsonl || fail "a window has lost nothing that could be told"
head -1 o/cells.csv | grep -q ',windows,.*,cache_share,' || fail "cells.csv: $(head -1 o/cells.csv)"
"$DEPTHKV" report o --pool >out 2>err && grep -q 'kept | of bytes | tasks' out && grep -q 'windows: prune' out || fail "pool: $(cat out err)"
"$DEPTHKV" compare o/cells.csv o/cells.csv >out 2>err || fail "compare: $(cat out err)"
"$DEPTHKV" run x.yaml -o o -q >out 2>&1 && grep -q '^0 rows written, 18 were there already' out || fail "resumed: $(cat out)"

# the study's layers are the model's, in its table, in profile.h5, and in what reads it
grep -A12 '^### One layer pruned at a time' o/table.md | grep -cE '^\| +[1357] \|' | grep -qx 4 || fail "layers: $(cat o/table.md)"
"$DEPTHKV" metrics x.yaml -o o -q >out 2>err || fail "metrics: $(cat err)"
grep -q 'Means over the 4 of 8 layers that can be pruned (the others have a window of 24):' out || fail "means: $(cat out)"
grep -q 'h2o,0.1,0,kl,rival,,output_error,4,' o/correlations.csv && grep -q 'h2o,0.1,0,kl,rival,,attention_lost,4,' o/correlations.csv ||
  fail "rivals: $(grep rival o/correlations.csv)"
[ "$(grep -c ',24$' o/metrics.csv)" -eq $((4 * (24 + 1))) ] || fail "$(grep -c ',24$' o/metrics.csv) lines of windows in metrics.csv"
[ "$(grep -cE '^[0246] ' o/plots/metrics-1-depthkv.dat)" -eq 0 ] || fail "a window is drawn as a layer that can be pruned"
guided() { # WINDOWS
  header 7
  printf '%s\n' "  - policy: h2o" "    keep: 0.6" "    windows: $1" '    layer_budget:' '      - sensitivity: {profile: o/profile.h5}' \
    '      - mga: {profile: o/metrics.h5, metric: /metrics/0/depthkv/att/infonce}'
}
guided keep >y.yaml
"$DEPTHKV" run y.yaml -o y -q >/dev/null 2>err || fail "guided: $(cat err)"
grep '"mga"' y/rows.jsonl | grep -q "\"kept\":\[24,$(sed -nE '1s/.*"n":([0-9]+),"kept".*/\1/p' y/rows.jsonl),24," || fail "mga leaves layer 1 whole, the first of the pruned"
guided prune >z.yaml
"$DEPTHKV" check z.yaml >out 2>err && fail "a profile of four layers was taken for eight"
grep -q 'z.yaml:16: layer_budget: sensitivity: .*o/profile.h5: no study of task all, policy all, level all, windows: prune' err || fail "$(cat err)"

# pruned alone under windows: prune, a layer without a window does what it does without; one with a window can be studied too
{
  header 1
  printf '%s\n' '  - {policy: h2o, keep: 0.1, windows: prune, layer_budget: {single: {layer: [1, 2]}}}'
} >s.yaml
"$DEPTHKV" run s.yaml -o s -q >/dev/null 2>err || fail "a study of windows: $(cat err)"
kl_of() { # FOLDER LAYER
  grep "{\"single\":{\"layer\":$2," "$1/rows.jsonl" | sed -E 's/.*"sample":([0-9]+),.*"kl":([^,]*),.*/\1 \2/' | sort
}
[ "$(kl_of s 1)" = "$(kl_of o 1)" ] && [ -n "$(kl_of s 1)" ] || fail "layer 1: $(kl_of s 1) and $(kl_of o 1)"
grep '{"single":{"layer":2,' s/rows.jsonl | grep -q "\"kept\":\[24,$n,2,$n,24,$n,24,$n\]" || fail "layer 2: $(grep '"layer":2,' s/rows.jsonl)"
"$DEPTHKV" metrics s.yaml -o s -q >out 2>err && fail "two layers can't be ranked, but were"
grep -q "s/profile.h5: task 'passkey': nothing to rank" err || fail "$(cat err)"
