#!/usr/bin/env bash
# A bench that is stopped ends with status 130 and prints what it has; a line is there as soon as its test is done.
. "$ROOT/tests/cli/lib/model.sh"
"$DEPTHKV" bench -m tiny.h5 -r 30 --only tg,step32 >out 2>err &
pid=$!
for _ in $(seq 2000); do
  grep -q '^step32: 1 of' err && break
  sleep 0.02
done
grep -q '^| tg32@2048 ' out || fail "what is finished is not there while the rest runs: $(cat out)"
kill -INT $pid
wait $pid
status=$?
[ $status -eq 130 ] || fail "status $status: $(cat err)"
grep -q '^| tg32@2048 ' out || fail "what was finished is not printed: $(cat out)"
grep -q '^step32: no figures: ' out || fail "nothing is said of what was not: $(cat out)"
