#!/usr/bin/env bash
# Status 1 when some cell failed, with its line and reason; warnings on stderr change no status.
. "$ROOT/tests/cli/lib/model.sh"
experiment >x.yaml
"$DEPTHKV" run x.yaml -o a -q --set 'sweep.1.protect={first_layers: 1}' --set 'sweep.1.keep=[0.25, 0.75]' >out 2>err
status=$?
[ $status -eq 1 ] || fail "status $status, expected 1 as cells failed: $(cat err)"
grep -qE '^depthkv: 4 rows failed, first: x.yaml:12: protect: first_layers 1 need 395 entries of a total of 196, which leaves -199 for 1 other layers \(cell [0-9a-f]{16}\)$' err ||
  fail "the first failure is not told: $(cat err)"
grep -q 'failed 2' out || fail "the table does not count failures: $(cat out)"
[ "$(grep -c '"status":"failed"' a/rows.jsonl)" -eq 4 ] && [ "$(grep -c '"status":"ok"' a/rows.jsonl)" -eq 6 ] || fail "rows"
# and known ahead by `check`, which finds no error in it
"$DEPTHKV" check x.yaml --set 'sweep.1.protect={first_layers: 1}' --set 'sweep.1.keep=[0.25, 0.75]' >out 2>err || fail "check: $(cat err)"
grep -qE '^fails: x.yaml:12: protect: first_layers 1 need 39[0-9] entries of a total of 19[0-9], which leaves -19[0-9] for 1 other layers \(2 cells, first [0-9a-f]{16}, task .passkey.\)$' out ||
  fail "what fails is not told ahead: $(cat out)"
[ "$(grep -cE '^[0-9a-f]{16} .* fails$' out)" -eq 2 ] || fail "cells are not marked: $(cat out)"
"$DEPTHKV" check x.yaml --json --set 'sweep.1.layer_budget=free_first' >out || fail "check of cells that are n/a"
[ "$(grep -c '"skipped":"layer_budget .free_first.: 1 whole layers need' out)" -eq 4 ] || fail "check --json does not tell: $(cat out)"
# all cells well, and outputs that were cut off
"$DEPTHKV" run x.yaml -o b -q >out 2>err || fail "nothing failed, but: $(cat err)"
grep -q '^warning: 10 of 10 outputs were cut off by max_new_tokens; raise it if answers may be longer$' err || fail "no warning: $(cat err)"
"$DEPTHKV" run x.yaml -o b -q >out 2>err || fail "second run"
grep -q '^0 rows written, 10 were there already; b/table.md, plots in b/plots$' err || fail "summary: $(cat err)"
# nothing but the full cache: nothing to plot
"$DEPTHKV" run x.yaml -o c -q --set 'sweep=[{policy: full}]' >out 2>err || fail "full alone: $(cat err)"
grep -q '^warning: nothing to plot' err || fail "no warning: $(cat err)"
# a model that breaks between two runs is input, not a failed cell
head -c 9000 tiny.h5 >cut.h5
"$DEPTHKV" run x.yaml -o d -q --set model=cut.h5 >out 2>err
status=$?
[ $status -eq 2 ] || fail "a truncated model: status $status"
