#!/usr/bin/env bash
# Ctrl-C stops cleanly and the next run continues; while one runs, another is kept out of its folder.
. "$ROOT/tests/cli/lib/model.sh"
experiment | sed 's/samples: 2/samples: 40/' >x.yaml
"$DEPTHKV" run x.yaml -o a -q --threads 1 >out 2>err &
first=$!
for _ in $(seq 3000); do
  [ -s a/rows.jsonl ] && break
  sleep 0.02
done
kill -STOP $first # so that it is not over before the second one comes, however busy the machine
"$DEPTHKV" run x.yaml -o a -q >out2 2>err2
[ $? -ne 0 ] && [ -s err2 ] || { kill -KILL $first; fail "a second run was let into the folder"; }
kill -INT $first
kill -CONT $first
wait $first
status=$?
[ $status -eq 130 ] || fail "status $status after Ctrl-C (0: the run was over too early): $(cat err)"
rows=$(wc -l <a/rows.jsonl)
[ "$rows" -lt 200 ] || fail "nothing was left to continue"
"$DEPTHKV" run x.yaml -o a -q >out 2>err || fail "continued run: $(cat err)"
"$DEPTHKV" run x.yaml -o b -q >out 2>err || fail "whole run: $(cat err)"
[ "$(comparable a/rows.jsonl)" = "$(comparable b/rows.jsonl)" ] || fail "a stopped and continued run gives other rows"
[ "$(wc -l <a/rows.jsonl)" -eq 200 ] || fail "expected 200 rows"
