#!/usr/bin/env bash
# Chunks, eviction and packed positions end to end: rows say so, tables too; stopped runs continue to the same rows.
. "$ROOT/tests/cli/lib/model.sh"
modes() {
  experiment | sed '/- policy: \[random/,$d'
  cat <<'END'
  - policy: [h2o, tova, streaming]
    keep: 0.25
    prefill: [full, {chunked: {size: 128}}]
    decode: [frozen, evict, {interval: 3}]
    positions: [original, packed]
record: {kept: true}
END
}
modes >x.yaml
"$DEPTHKV" check x.yaml >out || fail "check: $(cat out)"
grep -q '37 cells' out || fail "check counts $(grep cells out)"
grep -q 'prefill={"chunked":{"size":128,"budget":"seen","carry":true}} decode=evict positions=packed' out || fail "check does not print modes"
"$DEPTHKV" run x.yaml -o a -q >table 2>err || fail "run: $(cat err)"
[ "$(grep -c '"status":"ok"' a/rows.jsonl)" -eq 74 ] || fail "$(grep -c '"status":"ok"' a/rows.jsonl) good rows, expected 37 cells x 2 samples"
grep -q '"prefill":{"chunked":{"size":128,"budget":"seen","carry":true}},"decode":{"interval":3}' a/rows.jsonl || fail "rows lack the modes"
grep -q 'prefill chunked size=128 budget=seen carry=true; decode interval=3; positions packed' table || fail "the table lacks the modes"
head -1 a/cells.csv | grep -q 'prefill,decode,positions' || fail "cells.csv lacks the modes"
# what evicts never exceeds what pruning left
awk 'function of(name) { return match($0, "\"" name "\":[0-9]+") ? substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 3) : "none" }
  /"decode":"evict"/ { seen = 1; if (of("cache_bytes") != of("cache_bytes_end") || of("cache_bytes") == "none") bad = 1 }
  END { exit bad || !seen }' a/rows.jsonl || fail "an evicting cell grew"
# lose half of the rows; any memory, any threads
cp a/rows.jsonl whole
head -20 whole >a/rows.jsonl
"$DEPTHKV" run x.yaml -o a -q --memory 1M --threads 1 >out 2>err || fail "resumed: $(cat err)"
[ "$(comparable a/rows.jsonl)" = "$(comparable whole)" ] || fail "resumed rows differ"
cell=$("$DEPTHKV" check x.yaml | awk '/chunked/ && /tova/ { print $1; exit }')
"$DEPTHKV" trace x.yaml --cell "$cell" --layer 1 >out 2>err || fail "trace: $(cat err)"
[ "$(awk -F'\t' 'NR > 1 && $5 == ""' out | wc -l)" -gt 50 ] || fail "trace shows scores of entries that were gone"

# weights held in half the memory: another full cache to compare with, and rows of their own
experiment | sed 's/keep: \[0.25, 0.5\]/keep: 0.5/; s/samples: 2/samples: 1/' >y.yaml
echo '    weight_dtype: [f32, bf16]' >>y.yaml
"$DEPTHKV" run y.yaml -o b -q >table 2>err || fail "bf16: $(cat err)"
for dtype in f32 bf16; do
  [ "$(grep -c "\"weight_dtype\":\"$dtype\"" b/rows.jsonl)" -eq 3 ] || fail "$dtype: $(grep -c . b/rows.jsonl) rows"
  grep '"policy":"full"' b/rows.jsonl | grep "\"weight_dtype\":\"$dtype\"" | grep -q '"kl":0,' || fail "no full cache of $dtype"
done
# bf16 arithmetic: the same again, its weights held so without being told
sed 's/weight_dtype:/arithmetic:/' y.yaml >z.yaml
"$DEPTHKV" run z.yaml -o c -q >narrow 2>err || fail "bf16 arithmetic: $(cat err)"
[ "$(grep -c '"weight_dtype":"bf16",.*"arithmetic":"bf16"' c/rows.jsonl)" -eq 3 ] || fail "bf16 arithmetic: $(grep -c . c/rows.jsonl) rows"
grep '"policy":"full"' c/rows.jsonl | grep '"arithmetic":"bf16"' | grep -q '"kl":0,' || fail "no full cache of bf16 arithmetic"
grep -q 'arithmetic bf16' narrow || fail "the table does not tell the arithmetic: $(cat narrow)"
grep -Eq '"bf16": ?"' c/manifest.json || fail "the manifest does not tell what computes bf16 products"
[ "$(cat b/rows.jsonl c/rows.jsonl | grep '"policy":"h2o"' | grep -o '"nll":[^,]*' | sort -u | wc -l)" -eq 3 ] || fail "bf16 arithmetic changes nothing"
for command in check "run -q -o d" "trace --cell 0 --layer 0"; do # before anything is computed
  # shellcheck disable=SC2086 # a command and its options
  DEPTHKV_BF16=fast "$DEPTHKV" $command z.yaml >out 2>err
  [ $? -eq 2 ] && [ ! -s out ] && [ ! -e d ] || fail "$command: a way to multiply that there is not: $(cat out)"
  grep -Eq "^depthkv: z.yaml:[0-9]+: arithmetic: bf16: DEPTHKV_BF16 is 'fast', expected plain, " err || fail "$command: $(cat err)"
done
DEPTHKV_BF16=fast "$DEPTHKV" check x.yaml >out 2>err || fail "an experiment without bf16 arithmetic: $(cat err)"
numbers() { comparable "$1" | sed -E 's/"(key|engine)":"[0-9a-f]*",//g'; } # these name what multiplied
DEPTHKV_BF16=plain "$DEPTHKV" run z.yaml -o plain -q --threads 1 >/dev/null 2>err || fail "plain: $(cat err)"
[ -n "$(grep -El '"bf16": ?"avx512_bf16"' c/manifest.json)" ] || [ "$(numbers c/rows.jsonl)" = "$(numbers plain/rows.jsonl)" ] ||
  fail "rows of plain C differ from the others"
# keys and values in half the bytes: another prefill and full cache, the same budgets
sed 's/weight_dtype:/cache_dtype:/' y.yaml >u.yaml
"$DEPTHKV" run u.yaml -o e -q >halves 2>err || fail "bf16 caches: $(cat err)"
[ "$(grep -c '"weight_dtype":"f32",.*"cache_dtype":"bf16"' e/rows.jsonl)" -eq 3 ] || fail "bf16 caches: $(grep -c . e/rows.jsonl) rows"
grep '"policy":"full"' e/rows.jsonl | grep '"cache_dtype":"bf16"' | grep -q '"kl":0,' || fail "no full cache of bf16"
grep -q 'cache bf16' halves || fail "the table does not tell how caches were held: $(cat halves)"
bytes() { grep "\"cache_dtype\":\"$1\"" e/rows.jsonl | grep -oE "\"$2\":[0-9]+" | cut -d: -f2 | paste -sd' '; }
[ "$(bytes f32 cache_bytes | awk '{ print $1 / 2, $2 / 2, $3 / 2 }')" = "$(bytes bf16 cache_bytes)" ] ||
  fail "not half the bytes: $(bytes f32 cache_bytes), $(bytes bf16 cache_bytes)"
[ "$(bytes f32 cache_bytes_bf16)" = "$(bytes bf16 cache_bytes_bf16)" ] || fail "bytes in bf16 are not the same: $(bytes bf16 cache_bytes_bf16)"
[ "$(grep '"policy":"h2o"' e/rows.jsonl | grep -o '"nll":[^,]*' | sort -u | wc -l)" -eq 2 ] || fail "bf16 caches change nothing"
grep -q 'weights bf16' table || fail "the table does not tell how weights were held"
[ "$(grep '"policy":"h2o"' b/rows.jsonl | grep -o '"nll":[^,]*' | sort -u | wc -l)" -eq 2 ] || fail "bf16 changes nothing"
