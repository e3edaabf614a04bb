#!/usr/bin/env bash
# run -m -t -p -k needs no experiment file, and without -o writes to results/.
. "$ROOT/tests/cli/lib/model.sh"
"$DEPTHKV" run -q -m tiny.h5 -t passkey -p streaming,random -k 0.2,0.5 --samples 1 --length 400 >out 2>err || fail "$(cat err)"
rows=$(find results -name rows.jsonl)
[ "$(wc -l <"$rows")" -eq 5 ] || fail "expected full and 2 policies x 2 budgets, one sample"
grep -q streaming out || fail "no table on stdout"
