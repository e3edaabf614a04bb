#!/usr/bin/env bash
# The user's own records: what they lack is told by file and line, what they say of themselves is kept to, and a sample that
# can't be made fails its rows and nothing else.
. "$ROOT/tests/cli/lib/model.sh"
base() { printf '%s\n' '# ?' 'schema: 1' 'experiment: r' 'model: tiny.h5' 'samples: 20' 'measure: [score, nll]' 'max_new_tokens: 4' "$@"; }
sweep='sweep: [{policy: streaming, keep: 0.5}]'

# a NUL, with the place where it stands
printf '%s\n' '{"context":"c","answers":["a"]}' '{"context":"The captain is \u0000 called Mora. ","answers":["Mora"]}' >nul.jsonl
base 'tasks: [jsonl: {file: nul.jsonl}]' "$sweep" >x.yaml
"$DEPTHKV" check x.yaml >out 2>err && fail "a NUL is accepted"
grep -q "^x.yaml:8: task 'jsonl': .*nul.jsonl:2:28: a text holds a NUL" err || fail "a NUL: $(cat err)"

# a field that no record has: the line of the parameter; classes that are missing
printf '%s\n' '{"input":"who?","context":"c","answers":["a"],"all_classes":["a","b"]}' >l.jsonl
base 'tasks:' '  - jsonl:' '      file: l.jsonl' '      question_field: inputt' "$sweep" >x.yaml
"$DEPTHKV" run x.yaml -o a -q >out 2>err && fail "a field that no record has"
grep -q "x.yaml:11: task 'jsonl': parameter 'question_field': no record of .*l.jsonl has a field 'inputt'; did you mean 'input'?" err ||
  fail "a field that no record has: $(cat err)"
base 'tasks: [jsonl: {file: l.jsonl, metric: classification}]' "$sweep" >x.yaml
"$DEPTHKV" check x.yaml >out 2>err && fail "classification without classes"
grep -q "l.jsonl:1: metric 'classification' needs all classes, and field 'classes' lists none" err || fail "no classes: $(cat err)"

# fewer records than samples: told, and reckoned with; what a record may generate stands in its row, and the cell stays one
long=$(printf 'word %.0s' $(seq 60))
printf '%s\n' "{\"context\":\"$long\",\"answers\":[\"a\"],\"max_new_tokens\":9}" "{\"context\":\"$long too\",\"answers\":[\"b\"]}" >d.jsonl
base 'tasks: [jsonl: {file: d.jsonl, truncate: middle, max_length: 200}]' "$sweep" >x.yaml
"$DEPTHKV" check x.yaml >out 2>err || fail "check: $(cat err)"
grep -q '^2 cells x 2 samples, valid$' out && grep -q "^task 'jsonl': 2 samples from number 0 on; 20 are asked for$" out && grep -q 'in 2 groups' out ||
  fail "the samples that there are: $(cat out)"
"$DEPTHKV" check x.yaml --json | grep -q '^{"task":"jsonl","task_params":{.*},"samples":2,"asked":20}$' || fail "check --json"
"$DEPTHKV" run x.yaml -o d -q >out 2>err || fail "run: $(cat err)"
fields() { sed -E 's/.*"question_id":"([^"]*)".*"policy":"([a-z]*)".*"max_new_tokens":([0-9]*),.*"prompt_tokens":([0-9]*),.*/\1 \2 \3 \4/' d/rows.jsonl | sort; }
awk '{ want = $1 == 1 ? 9 : 4; if ($3 != want || $3 + $4 > 200 || $3 + $4 < 180) exit 1 }' <(fields) || fail "room for what a record generates: $(fields)"
[ "$(grep -c '"cell_max_new_tokens":4,' d/rows.jsonl)" -eq 2 ] || fail "the axis of a record with its own number"
[ "$(wc -l <d/cells.csv)" -eq 3 ] || fail "cells: $(cat d/cells.csv)"

# a task that has no room for a sample: refused by check, failed rows in a run, and the other tasks are as without it
base 'tasks: [passkey: {length: 400}, vt: {length: 300}]' "$sweep" | sed 's/samples: 20/samples: 2/' >x.yaml
"$DEPTHKV" check x.yaml >out 2>err
status=$?
[ $status -eq 2 ] && grep -q "^x.yaml:8: task 'vt', sample 0: .*the shortest prompt has [0-9]* tokens, more than the 296 that length leaves (model tiny)$" err ||
  fail "check, status $status: $(cat err)"
"$DEPTHKV" run x.yaml -o v -q >out 2>err
status=$?
[ $status -eq 1 ] && grep -q "^depthkv: 4 rows failed, first: x.yaml:9: sample 0 can't be made: .*the shortest prompt has" err || fail "run, status $status: $(cat err)"
[ "$(grep -c '"task":"vt".*"status":"failed"' v/rows.jsonl)" -eq 4 ] && [ "$(grep -c '"task":"passkey".*"status":"ok"' v/rows.jsonl)" -eq 4 ] ||
  fail "rows: $(cut -c1-200 v/rows.jsonl)"
[ -s v/table.md ] && grep -q 'failed 2' v/table.md || fail "the table: $(cat v/table.md)"
"$DEPTHKV" run x.yaml -o w -q --set 'tasks=[passkey: {length: 400}]' >out 2>err || fail "passkey alone: $(cat err)"
comparable v/rows.jsonl | grep '"task":"passkey"' | sed 's/"cell_index":[0-9]*//' >with
comparable w/rows.jsonl | sed 's/"cell_index":[0-9]*//' >without
cmp -s with without || fail "a task that fails changes the others"
"$DEPTHKV" run x.yaml -o v -q >out 2>err
[ "$(grep -c '"status":"ok"' v/rows.jsonl)" -eq 4 ] || fail "a second run computes what was there"

# a template that the experiment spells out is check's as well as run's, and counts
base 'tasks: [passkey: {length: 400}]' "$sweep" 'template: {user: ["U: ", "\n"], assistant: "A:"}' | sed 's/samples: 20/samples: 1/' >x.yaml
"$DEPTHKV" check x.yaml >out 2>err || fail "check of a template spelled out: $(cat err)"
"$DEPTHKV" run x.yaml -o t -q >out 2>err || fail "run of a template spelled out: $(cat err)"
