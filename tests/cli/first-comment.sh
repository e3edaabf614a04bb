#!/usr/bin/env bash
# A question, a name and a path with whatever a line can hold: the config.yaml that a run leaves loads again, to the same cells.
. "$ROOT/tests/cli/lib/model.sh"
t() { # COMMENT NAME, as printf reads them; the comment with what ends it
  printf "# $1schema: 1\n" >x.yaml
  experiment | sed '1,2d; s/, h2o//; s/, 0.5//; s/samples: 2/samples: 1/' >>x.yaml
  printf -- "$2" >name
  sed -i "s/^experiment: tiny/experiment: \"$(cat name)\"/" x.yaml
  rm -rf o
  "$DEPTHKV" run x.yaml -o o -q >/dev/null 2>err || fail "run with the comment '$1': $(cat err)"
  "$DEPTHKV" run o/config.yaml -o again -q >/dev/null 2>err || fail "config.yaml of the comment '$1': $(cat err): $(cat -A o/config.yaml)"
  [ "$(comparable o/rows.jsonl)" = "$(comparable again/rows.jsonl)" ] || fail "other rows from config.yaml of the comment '$1'"
  rm -rf again
}
t 'line feed\n' tiny
t 'both\r\n' tiny
t 'carriage return\r' tiny
t 'next line\xc2\x85' 'q \xe2\x80\xa9 r'
t 'line separator: [\xe2\x80\xa8' '\xc3\xa9 # no comment: {'
t 'paragraph separator\xe2\x80\xa9' '- a'
t '\n' '~'
