#!/usr/bin/env bash
# A run writes all its files; a second one computes nothing; rows lost or torn come back the same, on any thread count.
. "$ROOT/tests/cli/lib/model.sh"
experiment >x.yaml
"$DEPTHKV" run x.yaml -o a -q >out 2>err || fail "run: $(cat err)"
for file in rows.jsonl config.yaml manifest.json cells.csv table.md table.tex index.html; do
  [ -s "a/$file" ] || fail "no $file"
done
[ "$(wc -l <a/rows.jsonl)" -eq 10 ] || fail "$(wc -l <a/rows.jsonl) rows, expected 5 cells x 2 samples"
[ "$(grep -c '"status":"ok"' a/rows.jsonl)" -eq 10 ] || fail "not all rows are ok"
cp a/rows.jsonl whole
cp a/table.md table

"$DEPTHKV" run x.yaml -o a -q >out 2>err || fail "second run: $(cat err)"
cmp -s a/rows.jsonl whole || fail "the second run changed rows"

# the experiment that a folder holds runs as it stands, on rows that it finds there
"$DEPTHKV" run a/config.yaml -o a -q >out 2>err || fail "config.yaml: $(cat err)"
cmp -s a/rows.jsonl whole || fail "config.yaml means other cells"

# lose three rows and tear a fourth
{ head -6 whole; sed -n 7p whole | head -c 100; } >a/rows.jsonl
"$DEPTHKV" run x.yaml -o a -q >out 2>err || fail "resumed run: $(cat err)"
[ "$(comparable a/rows.jsonl)" = "$(comparable whole)" ] || fail "resumed rows differ"
cmp -s a/table.md table || fail "the table differs after resuming"

"$DEPTHKV" run x.yaml -o b -q --threads 1 >out 2>err && "$DEPTHKV" run x.yaml -o c -q --threads 2 >out 2>err || fail "threads"
[ "$(comparable b/rows.jsonl)" = "$(comparable whole)" ] && [ "$(comparable c/rows.jsonl)" = "$(comparable whole)" ] ||
  fail "rows depend on the number of threads"

# a cell alone gives the row that it gives in the sweep
"$DEPTHKV" run x.yaml -o d -q --set 'sweep.1.policy=h2o' --set 'sweep.1.keep=0.5' >out 2>err || fail "--set: $(cat err)"
[ "$(grep -c '"policy":"h2o"' d/rows.jsonl)" -eq 2 ] || fail "--set gives other cells"
for column in '"cell":"[0-9a-f]*"' '"kl":[^,]*' '"nll":[^,]*' '"output":"[^"]*"'; do
  [ "$(grep '"policy":"h2o"' d/rows.jsonl | grep -o "$column" | sort)" = \
    "$(grep '"policy":"h2o"' whole | grep -E '"budget":"(keep: ?)?0\.5"' | grep -o "$column" | sort)" ] || fail "alone, $column differs"
done
"$DEPTHKV" run x.yaml -o e -q --limit 1 >out 2>err && [ "$(wc -l <e/rows.jsonl)" -eq 5 ] || fail "--limit"

"$DEPTHKV" report a >out 2>err || fail "report: $(cat err)"
cmp -s out table || fail "report prints another table"
cmp -s a/table.md table || fail "report changed the table"

# a cell taken out leaves the table, not the journal; put back, it is there again, and nothing is computed
"$DEPTHKV" run x.yaml -o a -q --set 'sweep.1.policy=h2o' >out 2>err || fail "fewer cells: $(cat err)"
grep -q '^warning: left out: 4 rows of 2 cells that the experiment no longer has' err || fail "no word of cells that went: $(cat err)"
! grep -q '^| random' out && grep -q '^| h2o' out && [ "$(wc -l <a/cells.csv)" -eq 4 ] || fail "the table still has them: $(cat out)"
"$DEPTHKV" report a >again 2>err && cmp -s out again || fail "report prints another table than run"
cmp -s a/rows.jsonl whole || [ "$(comparable a/rows.jsonl)" = "$(comparable whole)" ] || fail "rows were lost"
"$DEPTHKV" run x.yaml -o a -q >out 2>err && grep -q '^0 rows written' err && cmp -s out table || fail "put back: $(cat err)"
