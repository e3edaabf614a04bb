#!/usr/bin/env bash
# Every kernel on a model's products, one table a number of threads; a shape is chosen by a variable, and no number moves.
. "$ROOT/tests/cli/lib/model.sh"
"$DEPTHKV" bench -m tiny.h5 --only products --threads 1,2 >out 2>err || fail "bench: $(cat err)"
[ "$(grep -c '^| GFLOP/s, [12] thread' out)" = 2 ] || fail "not a table for each number of threads: $(cat out)"
for name in qkv attn_out gate_up down 'q k^T' 'p v'; do
  [ "$(grep -cF "| $name " out)" = 2 ] || fail "$name is missing: $(cat out)"
done
head -1 out | grep -q '(used)' || fail "no shape is marked: $(head -1 out)"
for name in $(head -1 out | grep -oE '[0-9]+x[0-9]+(-ahead)?( \(used\))?' | grep -v used | tail -1); do # one that is not used by itself
  DEPTHKV_TILE=$name "$DEPTHKV" bench -m tiny.h5 --only products --threads 1 2>err | head -1 | grep -q "$name (used)" ||
    fail "$name is not used: $(cat err)"
done
# bf16 arithmetic: the ways that the processor has
"$DEPTHKV" bench -m tiny.h5 --only products --threads 1 --arithmetic bf16 >out 2>err || fail "bf16: $(cat err)"
for name in loop OpenBLAS float32 plain; do
  head -1 out | grep -q "| *$name" || fail "bf16 has no column $name: $(head -1 out)"
done
head -1 out | grep -q '[0-9]x[0-9]' && fail "tiles of float32: $(head -1 out)"
[ "$(head -1 out | grep -o '(used)' | wc -l)" = 1 ] || fail "one way is used: $(head -1 out)"
awk -F'|' '/^\| (qkv|down) / { for (i = 3; i < NF; i++) if (!($i > 0)) exit 1; n++ } END { exit n != 2 }' out || fail "$(cat out)"
DEPTHKV_BF16=plain "$DEPTHKV" bench -m tiny.h5 --only products --threads 1 --arithmetic bf16 2>err | head -1 | grep -q 'plain (used)' ||
  fail "plain is not used: $(cat err)"
DEPTHKV_TILE=7x7 "$DEPTHKV" bench -m tiny.h5 --only limits >out 2>err && fail "7x7 is accepted"
grep -q "DEPTHKV_TILE=7x7: this processor has no such shape.*; it has .*x" err || fail "$(cat err)"
exit 0
