#!/usr/bin/env bash
# The commands that show what a run works with.
. "$ROOT/tests/cli/lib/model.sh"
"$DEPTHKV" samples passkey -m tiny.h5 -n 2 --param length=400 >one || fail "samples"
"$DEPTHKV" samples passkey -m tiny.h5 -n 3 --param length=400 >two || fail "samples again"
[ "$(wc -l <one)" -eq 2 ] && [ "$(head -2 two)" = "$(cat one)" ] || fail "samples depend on how many are asked for"
"$DEPTHKV" samples passkey -m tiny.h5 -n 2 --param length=400 --seed 2 >two && ! cmp -s one two || fail "the seed changes nothing"
grep -q '"context":' one && grep -q '"answers":' one || fail "a sample lacks context or answers: $(head -c 300 one)"

"$DEPTHKV" generate -m tiny.h5 -n 5 abc >one && "$DEPTHKV" generate -m tiny.h5 -n 5 --threads 1 abc >two || fail "generate"
cmp -s one two || fail "the text depends on the number of threads"
"$DEPTHKV" generate -m tiny.h5 -n 5 --show-tokens abc >two || fail "--show-tokens"
grep -qE '(^|[^0-9])97([^0-9]|$)' two || fail "the id of 'a' is not shown: $(cat two)"

experiment >x.yaml
cell=$("$DEPTHKV" check x.yaml | awk '$3 == "h2o" { print $1; exit }')
[ -n "$cell" ] || fail "check prints no cell of h2o"
"$DEPTHKV" trace x.yaml --cell "$cell" --sample 1 >out 2>err || fail "trace: $(cat err)"
awk -F'\t' 'NR > 1 && NF < 5 { exit 1 }' out && [ "$(wc -l <out)" -gt 100 ] || fail "trace: $(head -5 out)"

# a template may be spelled out, as in an experiment; what is wrong with it is said
pieces='{user: ["<u> ", " </u>"], assistant: "<a>"}'
"$DEPTHKV" generate -m tiny.h5 -n 1 --show-tokens --template "$pieces" hi >out 2>err || fail "generate --template: $(cat err)"
[ "$(sed -n 's/^prompt [0-9]* [0-9]* "\(.*\)"$/\1/p' out | tr -d '\n')" = '<u> hi </u><a>' ] || fail "the prompt: $(cat out)"
tokens() { "$DEPTHKV" samples passkey -m tiny.h5 -n 1 --param length=400 "$@" 2>&1 | sed -n 's/.*"prompt_tokens":\([0-9]*\),.*/\1/p'; }
[ "$(tokens --template raw)" = "$(tokens)" ] && [ -n "$(tokens)" ] || fail "samples --template raw"
[ "$(tokens --template "$pieces")" -le "$(tokens)" ] || fail "samples --template: $(tokens --template "$pieces")"
for command in 'generate -m tiny.h5 hi' 'samples passkey -m tiny.h5'; do
  "$DEPTHKV" $command --template '{user: [a]}' >out 2>err
  [ $? -eq 2 ] && grep -q '^depthkv: --template:1: template: user: expected two texts' err || fail "$command: $(cat err)"
done

# the example in the help is one: it names a cell that there is
read -r file cell <<<"$("$DEPTHKV" trace -h | sed -n 's/^  depthkv trace \(experiments[^ ]*\) --cell \([0-9a-f]*\) .*/\1 \2/p')"
[ -n "$cell" ] || fail "no example in the help of trace"
"$DEPTHKV" check "$ROOT/$file" | grep -q "^$cell" || fail "the example of trace -h names the cell $cell, which $file has not"
