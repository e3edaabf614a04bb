#!/usr/bin/env bash
# report: {beside: ...} prints published figures beside ours; --pool one table for all tasks; what is wrong in `beside` is told.
. "$ROOT/tests/cli/lib/model.sh"
experiment | sed 's/^  - passkey.*/  - passkey: {length: 400}\n  - niah_single_1: {length: 500}/' >x.yaml
cat >paper.csv <<'END'
table,row,column,value,source
1,FullKV,score,39.1,made up
1,H2O,score,26.75,made up
1,H2O,SBERT,55.1,made up
1,Nobody,score,1,made up
2,H2O,score,7,made up
END
cat >>x.yaml <<'END'
report:
  beside:
    file: paper.csv
    table: 1
    scale: 100
    rows:
      FullKV: {policy: full}
      H2O: {policy: h2o, budget: '0.25*'}
    columns:
      score: {task: passkey, value: keep}
END
"$DEPTHKV" run x.yaml -o a -q >/dev/null 2>err || fail "run: $(cat err)"
"$DEPTHKV" report a >out 2>err || fail "report: $(cat err)"
grep -q '^| FullKV *| score *| *39.1 *| 100 *|$' out || fail "a published figure and ours: $(grep -A9 '^## Table' out)"
grep -Eq '^\| H2O *\| score *\| *26.75 *\| 2[45]' out || fail "what a pattern chooses: $(grep H2O out)"
grep -q '^| H2O *| SBERT *| *55.1 *| not measured *|$' out || fail "a column that isn't listed: $(grep SBERT out)"
grep -q '^| Nobody *| score *| *1 *| not measured *|$' out || fail "a row that isn't listed: $(grep Nobody out)"
grep -q '| 7 |' out && fail "a row of another table"

# the mean over tasks of what cells.csv says of each
"$DEPTHKV" report a --pool >out 2>err || fail "report --pool: $(cat err)"
[ "$(grep -c '^| .* | *2 | *4 |' out)" -eq 5 ] || fail "five cells of two tasks, two samples each: $(cat out)"
column() { head -1 a/cells.csv | tr , '\n' | grep -nx "$1" | cut -d: -f1; }
total=$(head -1 a/cells.csv | tr , '\n' | wc -l)
want=$(awk -F, -v back=$((total - $(column kl))) '/"h2o"/ && /"passkey"|"niah_single_1"/ { n++; if (n % 2) s += $(NF - back) } END { printf "%.3g", s / 2 }' a/cells.csv)
grep -q "^| h2o .*[| ]$want \[" out || fail "h2o's kl over both tasks is $want: $(grep h2o out)"

refused() { # WORDS SED_EXPRESSION
  sed "$2" x.yaml >bad.yaml
  "$DEPTHKV" check bad.yaml >/dev/null 2>err && fail "accepted: $2"
  grep -q "$1" err || fail "$2: $(cat err)"
}
refused "x*bad.yaml:[0-9]*: beside: table 1 of .*paper.csv has no row 'H20'" 's/      H2O:/      H20:/'
refused "beside: .*paper.csv has no table '9'" 's/table: 1$/table: 9/'
refused "beside: key 'scales' unknown; did you mean 'scale'" 's/    scale:/    scales:/'
refused "statistic 'median' unknown" 's/value: keep/statistic: median/'
refused "report: only beside is known" 's/^  beside:/  tables: 1\n  beside:/'

# a layer study's common numbers, a line a study and measure; published figures may be beside those as well
experiment | sed '/^  - policy: \[/,$d' >s.yaml
printf '%s\n' '  - policy: h2o' '    keep: 0.25' '    layer_budget: {single: {layer: all}}' >>s.yaml
"$DEPTHKV" run s.yaml -o s -q >/dev/null 2>err || fail "a layer study: $(cat err)"
head -1 s/studies.csv | grep -qx 'model,task,policy,level,only,measure,layers,samples,variance,null_mean,null_sd,effect,p,split_half,params,head_budget,protect,prune_after,prefill,decode,positions,weight_dtype,max_new_tokens,windows,arithmetic,cache_dtype' ||
  fail "head of studies.csv: $(head -1 s/studies.csv)"
[ "$(wc -l <s/studies.csv)" -eq 6 ] || fail "five measures of one study: $(cat s/studies.csv)"
grep -q '^"tiny","passkey","h2o",0.2[0-9]*,0,kl,2,2,' s/studies.csv || fail "what was studied: $(cat s/studies.csv)"
[ ! -e a/studies.csv ] || fail "studies.csv without a study"
