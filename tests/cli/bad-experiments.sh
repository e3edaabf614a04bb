#!/usr/bin/env bash
# Every mistake in an experiment is told with file and line, and ends with status 2; all of a file's in one go.
. "$ROOT/tests/cli/lib/model.sh"
failed=0
t() { # EXPRESSION SED_SCRIPT [MORE LINES]: the good experiment, edited
  { experiment | sed "$2"; [ -z "${3-}" ] || printf '%s\n' "$3"; } >x.yaml
  "$DEPTHKV" check x.yaml >out 2>err
  local status=$?
  if [ $status -ne 2 ] || ! grep -qE "$1" err; then
    echo "expected /$1/, status $status: $(head -c 300 err)"
    failed=1
  fi
}
experiment >x.yaml
"$DEPTHKV" check x.yaml >out || fail "the good one is refused"
t 'x.yaml:4:.*no\.h5' 's/tiny.h5/no.h5/'
t "x.yaml:12:.*'h2p'.*h2o" 's/h2o/h2p/'
t "x.yaml:6:.*'paskey'.*passkey" 's/passkey/paskey/'
t "x.yaml:7:.*'sample'.*samples" 's/samples/sample/'
t 'x.yaml:14:.*experiment' '' 'experiment: again'
t 'x.yaml:13:.*keep' 's/0.25/1.25/'
t 'x.yaml:13:.*keep' 's/0.25/0/'
t 'x.yaml:13:.*keep' 's/0.25/lots/'
t 'x.yaml:1[34]:.*keep' '' '    keep_tokens: 12'
t 'x.yaml:13:.*keep' '/keep/d' '    compression_ratio: 0.6'
t 'x.yaml:6:.*length' 's/400/-1/'
t 'x.yaml:2:.*schema' 's/schema: 1/schema: 99/'
t 'x.yaml:9:.*score' 's/\[score,/[scores,/'
t 'x.yaml:7:.*samples' 's/samples: 2/samples: two/'
t 'x.yaml:14:.*prune_after' '' '    prune_after: everything'
t 'x.yaml:14:.*head_budget' '' '    head_budget: adakvv'
t 'x.yaml:14:.*layer_budget|x.yaml:14:.*uniforn' '' '    layer_budget: uniforn'
t 'x.yaml:' '1,$d' 'experiment: [x'
t 'x.yaml' '1,$d'
t 'x.yaml' '1,$d' '- a
- list'
t "x.yaml:14:.*prefill 'chunk' unknown.*chunked" '' '    prefill: chunk'
t "x.yaml:14:.*chunked has no parameter 'sise'.*size" '' '    prefill: {chunked: {sise: 4}}'
t "x.yaml:14:.*size" '' '    prefill: {chunked: {size: 0}}'
t "x.yaml:14:.*budget.*seen" '' '    prefill: {chunked: {budget: last}}'
t "x.yaml:14:.*decode 'evicted' unknown.*evict" '' '    decode: evicted'
t "x.yaml:14:.*'every'.*required" '' '    decode: interval'
t "x.yaml:14:.*every" '' '    decode: {interval: 0}'
t "x.yaml:14:.*every" '' '    decode: {interval: [4, many]}'
t "x.yaml:14:.*positions 'origin' unknown.*original" '' '    positions: origin'
t "x.yaml:14:.*positions.*map" '' '    positions: {packed: 1}'
t "x.yaml:14:.*positions.*empty" '' '    positions: []'
t "x.yaml:14:.*weight_dtype 'f16' unknown" '' '    weight_dtype: f16'
t "x.yaml:14:.*cache_dtype 'fp16' unknown.*f32.*bf16" '' '    cache_dtype: fp16'
t "x.yaml:14:.*cache_dtype" '' '    cache_dtype: 2'
t "x.yaml:14:.*weight_dtype: arithmetic: bf16 multiplies weights that are held as bf16, which is not asked for" '' $'    weight_dtype: f32\n    arithmetic: [f32, bf16]'
# both mistakes of one file
experiment | sed 's/h2o/h2p/; s/samples/sample/' >x.yaml
"$DEPTHKV" check x.yaml 2>err && fail "two mistakes pass"
grep -q 'x.yaml:7' err && grep -q 'x.yaml:12' err || fail "only one of two mistakes is told: $(cat err)"
# run refuses the same, before it writes anything
"$DEPTHKV" run x.yaml -o o >out 2>err
[ $? -eq 2 ] && [ ! -e o/rows.jsonl ] || fail "run did not refuse"
exit $failed
