#!/usr/bin/env bash
# A locale that writes 1,5 for one and a half changes no byte of what is read or written.
. "$ROOT/tests/cli/lib/model.sh"
experiment >x.yaml
cat >comma <<'EOF'
comment_char %
escape_char /
LC_NUMERIC
decimal_point "<U002C>"
thousands_sep "<U002E>"
grouping 3;3
END LC_NUMERIC
EOF
localedef -c -i comma ./comma_XX >localedef.log 2>&1 # other categories are missing, which it says and works around
in_locale() { # NAME COMMAND...
  local name=$1
  shift
  env -u LC_ALL LOCPATH="$PWD" LC_NUMERIC="$name" "$@"
}
# shellcheck disable=SC2016 # the inner shell is the one that reads it
[ "$(in_locale comma_XX bash -c 'printf %.1f 1,5' 2>&1)" = 1,5 ] ||
  { echo "SKIP: no locale can be made here: $(tail -1 localedef.log)" >&2; exit 77; }

for name in C comma_XX; do
  in_locale $name "$DEPTHKV" run x.yaml -o "$name.run" -q >/dev/null || fail "$name: run"
  comparable "$name.run/rows.jsonl" >"$name.rows"
  in_locale $name "$DEPTHKV" report C.run >"$name.report" || fail "$name: report"
  in_locale $name "$DEPTHKV" compare C.run "$name.run" --both --rtol 0.05 >"$name.compare" || fail "$name: compare"
  cp -r C.run "$name.folder" # what report wrote, with the times of the same rows
done
for what in rows report compare; do
  cmp -s "C.$what" "comma_XX.$what" || fail "$what differs: $(diff "C.$what" "comma_XX.$what" | head -c 400)"
done
n=0
for file in C.folder/table.* C.folder/cells.csv C.folder/plots/*.svg; do
  cmp "$file" "comma_XX.folder/${file#C.folder/}" || fail "$file differs"
  n=$((n + 1))
done
[ $n -gt 3 ] || fail "only $n files were compared: $(ls C.folder)"
