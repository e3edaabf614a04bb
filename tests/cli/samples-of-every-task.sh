#!/usr/bin/env bash
# Every task prints samples under a byte tokenizer, in both wordings where it has them, with nothing but a length given.
. "$ROOT/tests/cli/lib/model.sh"
failed=0
for task in $("$DEPTHKV" list tasks | sed -n 's/^  \([a-z0-9_]*\) .*/\1/p'); do
  [ "$task" != jsonl ] || continue # it has no data of its own
  more=('')
  "$DEPTHKV" describe "$task" | grep -q '^  wording' && more=('--param wording=ruler' '--param wording=compact')
  for param in "${more[@]}"; do
    if ! "$DEPTHKV" samples "$task" -m tiny.h5 -n 2 --param length=3000 $param >out 2>err || [ "$(wc -l <out)" -ne 2 ]; then
      echo "$task $param: $(cat err)"
      failed=1
    fi
  done
done
# your own questions, and what is wrong with them
cat >mine.json <<'END'
[{"_id": "m", "question": "Which bird?", "answer": "a heron", "supporting_facts": [["B", 0]],
  "context": [["A", ["A is a city."]], ["B", ["Its flag shows a heron."]]]}]
END
"$DEPTHKV" samples qa_2 -m tiny.h5 --param file=mine.json --param wording=compact --param length=200 >out 2>err || fail "$(cat err)"
grep -q '"answers":\["a heron"\]' out && [ "$(wc -l <out)" -eq 1 ] || fail "not one sample of one question: $(cat out)"
"$DEPTHKV" samples qa_1 -m tiny.h5 --param file=mine.json 2>err && fail "HotpotQA's form passes as SQuAD's"
grep -q "^depthkv: ./mine.json: 'data' is missing" err || fail "$(cat err)"
experiment | sed 's/passkey: {length: 400}/qa_2: {file: mine.json, length: 150}/' >x.yaml
"$DEPTHKV" run x.yaml -o o -q >out 2>err && fail "a question that does not fit passes"
grep -q "sample 0 can't be made: ./mine.json: question 'm' and its own documents: the shortest prompt has" err || fail "$(cat err)"
exit $failed
