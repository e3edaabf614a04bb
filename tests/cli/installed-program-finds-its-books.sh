#!/usr/bin/env bash
# What `make install` lays out works from any folder and under any prefix; without books the message says where to look.
. "$ROOT/tests/cli/lib/model.sh"
mkdir -p prefix/bin prefix/share/depthkv away
cp "$DEPTHKV" prefix/bin/depthkv
cp -r "$ROOT/datasets/books" prefix/share/depthkv/books
cd away || exit 1
unset DEPTHKV_DATA
../prefix/bin/depthkv samples niah_single_2 -m ../tiny.h5 -n 1 --param length=800 >out 2>err || fail "$(cat err)"
rm -r ../prefix/share
../prefix/bin/depthkv samples niah_single_2 -m ../tiny.h5 -n 1 --param length=800 >out 2>err && fail "books from nowhere"
grep -q DEPTHKV_DATA err || fail "the message names no way out: $(cat err)"
DEPTHKV_DATA=$ROOT/datasets/books ../prefix/bin/depthkv samples niah_single_2 -m ../tiny.h5 -n 1 --param length=800 >out 2>err || fail "$(cat err)"
