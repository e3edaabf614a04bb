#!/usr/bin/env bash
# `make install` stages into DESTDIR, what it lays out works from any folder and wherever it is moved to, with all that its
# experiments read; `make uninstall` leaves nothing. An experiment's name stands for its file.
. "$ROOT/tests/cli/lib/model.sh"
unset DEPTHKV_DATA DEPTHKV_MODELS
lay() { make -s -C "$ROOT" "$1" BUILD="$BUILD" BIN="$DEPTHKV" DESTDIR="$PWD/stage dir" PREFIX=/opt/x -o "$DEPTHKV" CC=false; }
BUILD=release
[[ $DEPTHKV != */build/*/depthkv ]] || BUILD=$(basename "$(dirname "$DEPTHKV")")
mkdir -p away/shadowed
lay install >log 2>&1 || fail "make install: $(cat log)"
mv "stage dir/opt/x" moved
lay install >log 2>&1 || fail "make install: $(cat log)"
bin=$PWD/moved/bin/depthkv
cd away || exit 1

# nothing but what is installed is read: the source tree is elsewhere, and so is the working folder
"$bin" run demo --limit 1 --set tasks='[{passkey: {wording: compact, length: 200}}]' --set sweep='[{policy: knorm, keep: 0.5}]' >out 2>err ||
  fail "run demo: $(cat err)"
[ -f results/demo/table.md ] || fail "no results in the working folder: $(find . | head)"
grep -q "^experiment .*moved/share/depthkv/experiments/demo.yaml$" err || fail "which demo? $(cat err)"
# what it wrote runs again from where it lies
"$bin" run results/demo/config.yaml -o results/demo -q >out 2>err && grep -q '^0 rows written' err || fail "config.yaml: $(cat err)"

# every path in every experiment leads to something
"$bin" list experiments >list || fail "list experiments"
names=$(sed -n 's/^  \([a-z0-9_/]*\) .*/\1/p' list)
[ "$(wc -w <<<"$names")" -ge 40 ] || fail "list experiments: $(cat list)"
mkdir models
cp ../tiny.h5 models/smollm2-135m-instruct.h5
for name in demo quickstart smoke_profile depthkv/allocation depthkv/readings depthkv/paper/fig4 depthkv/paper/table3; do
  grep -qx "$name" <<<"$names" || fail "$name is not listed: $(cat list)"
  DEPTHKV_MODELS=models "$bin" check "$name" --limit 1 --set template=raw >out 2>err || fail "check $name: $(cat err)"
done
# (paths of a file in parts/ start where the file that includes it lies)
while IFS=: read -r file path; do
  file=${file/parts\//}
  [[ $path == *models/cache/* || $path == *YOURS* ]] || [ -e "$(dirname "$file")/$path" ] || fail "$file leads to $path, which is not installed"
done < <(cd ../moved/share/depthkv && grep -rohE --include=*.yaml -H '\.\.[a-z0-9_./-]*\.(h5|csv|jsonl|yaml)\b' experiments | sed "s#^#$PWD/#")

# a name is sought here first, a path never elsewhere, and what there is not is said
printf 'schema: 2\n' >demo.yaml
mkdir demo
"$bin" check demo 2>err && fail "demo.yaml of the working folder was passed over"
grep -q '^demo.yaml:1: schema: ' err || fail "the wrong demo: $(cat err)"
rm demo.yaml
"$bin" check ./demo 2>/dev/null && fail "a path was sought elsewhere"
"$bin" check demo.yaml 2>err && fail "a file was sought elsewhere"
grep -q "^demo.yaml: No such file here; .*/experiments/demo.yaml is named demo$" err || fail "demo.yaml: $(cat err)"
"$bin" check dmeo 2>err && fail "no such experiment"
grep -q "^no experiment 'dmeo': .*did you mean 'demo'?.*depthkv list experiments" err || fail "dmeo: $(cat err)"

# without books the message says where to look
rm -r ../moved/share
"$bin" samples niah_single_2 -m ../tiny.h5 -n 1 --param length=800 >out 2>err && fail "books from nowhere"
grep -q DEPTHKV_DATA err || fail "the message names no way out: $(cat err)"
DEPTHKV_DATA=$ROOT/datasets/books "$bin" samples niah_single_2 -m ../tiny.h5 -n 1 --param length=800 >out 2>err || fail "$(cat err)"

cd ..
lay uninstall >log 2>&1 || fail "make uninstall: $(cat log)"
left=$(find "stage dir" -not -type d)
[ -z "$left" ] && [ ! -e "stage dir/opt/x/share/depthkv" ] || fail "make uninstall left: $left"
