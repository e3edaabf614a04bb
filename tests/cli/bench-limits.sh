#!/usr/bin/env bash
# A limit is the best of OpenBLAS, of our own kernels and of registers alone, also where OpenBLAS has old kernels: nothing
# that the engine does can be above it because OpenBLAS is slow.
. "$ROOT/tests/cli/lib/model.sh"
OPENBLAS_CORETYPE=Prescott "$DEPTHKV" bench -m tiny.h5 --only limits --json -q >out.json 2>err || fail "bench: $(cat err)"
number() { grep -o "\"$1\": {[^}]*" out.json | grep -o "\"$2\": [^,}]*" | cut -d' ' -f2; }
for limit in square qk pv rows32; do
  loop=$(number $limit loop)
  [ $limit != rows32 ] || [ "$loop" = null ] || fail "registers say nothing of 32 rows: $loop"
  awk -v limit=$limit -v best="$(number $limit best)" -v blas="$(number $limit OpenBLAS)" -v own="$(number $limit own)" \
    -v loop="${loop/null/0}" 'BEGIN {
      most = blas > own ? blas : own; most = loop > most ? loop : most
      if (!(blas > 0 && own > 0 && (loop > 0 || limit == "rows32") && best == most)) { print limit, best, blas, own, loop; exit 1 } }' ||
    fail "$limit: $(cat out.json)"
done
# bf16 arithmetic has limits of its own where products are in bf16, which OpenBLAS has none of
"$DEPTHKV" bench -m tiny.h5 --only limits --arithmetic bf16 --json -q >out.json 2>err || fail "bench: $(cat err)"
[ "$(number square OpenBLAS)" = null ] && [ "$(number rows32 OpenBLAS)" = null ] || fail "OpenBLAS in bf16: $(cat out.json)"
grep -o '"square": {[^}]*' out.json | grep -q 'bf16 by [a-z0-9_]*"' || fail "square is not in bf16: $(cat out.json)"
awk -v best="$(number square best)" -v own="$(number square own)" -v loop="$(number square loop)" \
  'BEGIN { exit !(own > 0 && loop > 0 && best == (own > loop ? own : loop)) }' || fail "square: $(cat out.json)"
exit 0
