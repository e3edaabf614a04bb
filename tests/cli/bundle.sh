#!/usr/bin/env bash
# `make bundle`: what it packs runs from an empty folder with an empty environment and nothing of this machine's libraries,
# from anywhere and through a link, and finds its own data.
. "$ROOT/tests/cli/lib/model.sh"
# of the data what a small run reads: packing all of it takes time
data="LICENSE README.md experiments/demo.yaml $(cd "$ROOT" && echo datasets/books/*)"
XZ_OPT=-0 make -s -C "$ROOT" bundle BUILD=release BIN="$DEPTHKV" BUNDLE="$PWD/made/depthkv-there" DATA="$data" -o "$DEPTHKV" CC=false \
  >log 2>&1 || fail "make bundle: $(cat log)"
archive=$(tail -1 log)
[ -f "$archive" ] || fail "which archive? $(cat log)"
mkdir away
tar -C away -xf "$archive" || fail "unpacking $archive"
rm -r made
mv tiny.h5 away/
cd away/depthkv-there || exit 1
[ -s licences/libopenblas0-pthread ] || [ "$(ls licences | wc -l)" -gt 0 ] || fail "no licences"

env -i ./depthkv --version >out 2>err || fail "--version: $(cat err)"
cat >../try.yaml <<'END'
# Does a bundle run?
schema: 1
experiment: try
model: tiny.h5
tasks:
  - passkey: {length: 400}
  - niah_single_2: {length: 800}
samples: 1
max_new_tokens: 2
sweep:
  - {policy: knorm, keep: 0.5}
END
mkdir ../elsewhere
ln -s ../depthkv-there/depthkv ../elsewhere/kv
cd ../elsewhere || exit 1
env -i ./kv run ../try.yaml -o out -q >out.txt 2>err || fail "run: $(cat err)"
[ "$(grep -c '"status":"ok"' out/rows.jsonl)" -eq 4 ] || fail "rows: $(cat out/rows.jsonl)"
# what it loads is its own, nothing of the system's (the script's shell, which is the system's, left out)
env -i sh -x ./kv --version >out.txt 2>trace || fail "--version through a link: $(cat trace)"
env -i LD_DEBUG=files LD_DEBUG_OUTPUT="$PWD/loads" $(sed -n 's/^+ exec //p' trace) >out.txt 2>err || fail "--version: $(cat err)"
grep -hoE 'calling init: [^ ]+' loads.* | awk '{ print $3 }' | sort -u >loaded
grep -q '/depthkv-there/lib/libopenblas' loaded || fail "what is loaded is not told: $(cat loaded)"
grep -v '/depthkv-there/' loaded && fail "libraries of this machine are loaded"
env -i sh ../depthkv-there/depthkv list experiments >out.txt 2>err || fail "list experiments: $(cat err)"
grep -q '^  demo ' out.txt || fail "its experiments are not found: $(cat out.txt)"
# the script's own shell is asked for it, and the program no more
LD_PRELOAD=/nonexistent.so ../depthkv-there/depthkv --version >out.txt 2>err || fail "with LD_PRELOAD: $(cat err)"
[ "$(grep -c 'nonexistent.so' err)" -eq 1 ] || fail "a library of this machine was asked for: $(cat err)"
