#!/usr/bin/env bash
# A result folder that goes away while a run writes to it: an error that says so, and no success.
. "$ROOT/tests/cli/lib/model.sh"
experiment | sed 's/samples: 2/samples: 100/' >x.yaml
for what in removed replaced; do
  rm -rf a b
  "$DEPTHKV" run x.yaml -o a -q >out 2>err &
  pid=$!
  for _ in $(seq 600); do
    [ -s a/rows.jsonl ] && break
    sleep 0.1
  done
  [ -s a/rows.jsonl ] || fail "no row: $(cat err)"
  mv a b
  [ $what = removed ] && rm -r b
  [ $what = replaced ] && cp -r b a
  wait $pid
  got=$?
  [ $got -eq 1 ] || fail "$what: status $got, expected 1: $(cat out err)"
  grep -q '^depthkv: a/rows.jsonl was removed or replaced while this run was writing to it' err || fail "$what: $(cat err)"
done
