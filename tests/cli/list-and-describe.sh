#!/usr/bin/env bash
# Everything that list names can be described, and list without a word holds all of it.
"$DEPTHKV" list >all || exit 1
for kind in policies allocators prefill decode tasks metrics; do
  "$DEPTHKV" list $kind >out || exit 1
  names=$(sed -n 's/^  \([A-Za-z0-9_]*\) .*/\1/p' out)
  [ -n "$names" ] || { echo "list $kind names nothing"; exit 1; }
  for name in $names; do
    grep -qw "$name" all || { echo "$name is not in the list of everything"; exit 1; }
    "$DEPTHKV" describe "$name" >out 2>err && grep -q "$name" out || { echo "describe $name: $(cat err)"; exit 1; }
  done
done
for name in full random streaming knorm keydiff tova snapkv h2o depthkv uniform single passkey jsonl text f1 rougeL nll chunked evict interval packed; do
  grep -qw "$name" all || { echo "list lacks $name"; exit 1; }
done
