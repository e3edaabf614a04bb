#!/usr/bin/env bash
# Metrics of layers alone, against a profile, and what is refused.
. "$ROOT/tests/cli/lib/model.sh"
experiment >x.yaml
printf '%s\n' '  - policy: h2o' '    keep: 0.25' '    layer_budget: {single: {layer: all}}' >>x.yaml
"$DEPTHKV" metrics x.yaml -o one -q --param definition=both --param views=2 >out 2>err || fail "metrics: $(cat err)"
cmp -s out one/metrics.md || fail "the table on stdout is not metrics.md"
head -1 one/metrics.csv | grep -qx 'task,definition,stage,metric,layer,n,value,se,lo,hi,window' || fail "head of metrics.csv"
# 2 layers x 4 stages x 6 metrics x 2 definitions, and the attention's entropy
[ "$(wc -l <one/metrics.csv)" -eq $((1 + 96 + 2)) ] || fail "$(wc -l <one/metrics.csv) lines in metrics.csv"
[ -s one/metrics.h5 ] && [ -s one/plots/metrics-1-skean.gp ] && [ ! -e one/correlations.csv ] || fail "files: $(ls -R one)"
"$DEPTHKV" metrics x.yaml -o two -q --param definition=both --param views=2 --threads 1 >/dev/null || fail "one thread"
cmp -s one/metrics.csv two/metrics.csv || fail "metrics depend on the number of threads"

"$DEPTHKV" run x.yaml -o one -q >/dev/null 2>err || fail "run: $(cat err)"
before=$(cat one/metrics.md)
"$DEPTHKV" metrics x.yaml -o one --param batch=9 -q >/dev/null 2>err && fail "two layers can't be ranked, but were"
[ "$before" = "$(cat one/metrics.md)" ] || fail "a refused profile changed the folder"
grep -q "one/profile.h5: task 'passkey': nothing to rank: in no study do 4 or more layers" err || fail "$(cat err)"

# A whole chain on a model with enough layers: damage, metrics, their correlation, and infonce as an allocator's profile, which
# a run refuses when it stands on the run's own prompts.
on_reference() { # SEED SWEEP_LINE...
  printf '%s\n' '# Does infonce tell?' 'schema: 1' 'experiment: r' "model: $ROOT/models/reference/reference.h5" 'tasks:' \
    '  - passkey: {wording: compact, length: 192}' 'samples: 2' "seed: $1" 'measure: [score, nll, kl]' 'sweep:' '  - policy: full' "${@:2}"
}
on_reference 1 '  - policy: h2o' '    keep: 0.1' '    layer_budget: {single: {layer: all}}' >r.yaml
"$DEPTHKV" run r.yaml -o ref -q >/dev/null 2>err || fail "a study of layers: $(cat err)"
"$DEPTHKV" metrics r.yaml -o ref -q >out 2>err || fail "metrics beside a profile: $(cat err)"
# 24 metrics and 4 rivals against 4 measures
[ "$(wc -l <ref/correlations.csv)" -eq $((1 + 28 * 4)) ] || fail "$(wc -l <ref/correlations.csv) lines in correlations.csv"
head -1 ref/correlations.csv | grep -q ',split_half_rank,ceiling,' || fail "head of correlations.csv"
grep -q 'h2o,0.1,0,kl,rival,,attention_lost,12,-\?[0-9.]*,0' ref/correlations.csv || fail "attention lost is not among the rivals"
grep -q 'h2o,0.1,0,kl,rival,,output_error,12,-\?[0-9.]*,0' ref/correlations.csv || fail "the output error is not among the rivals"
grep -q '^| depth .*rival .* n/a |' out || fail "depth has no part beyond depth: $(grep depth out)"
for seed in 1 7; do
  on_reference $seed '  - policy: h2o' '    keep: 0.5' \
    '    layer_budget: {mga: {profile: ref/metrics.h5, metric: /metrics/0/depthkv/att/infonce}}' >y.yaml
  "$DEPTHKV" run y.yaml -o "$seed" -q >/dev/null 2>err
  status=$?
  "$DEPTHKV" check y.yaml >checked 2>check_err
  check=$?
  if [ $seed = 7 ]; then
    [ $status$check = 00 ] || fail "infonce as a profile: $(cat err check_err)"
  else
    [ $status$check = 22 ] && grep -q "y.yaml:12: .*ref/metrics.h5 was .*: task 'passkey', sample 0" err || fail "the evaluation's own prompts were accepted: $(cat err)"
    cmp -s err check_err && [ ! -s checked ] || fail "check says otherwise: $(cat checked check_err)"
    [ ! -e $seed ] || fail "a refused profile left a folder behind"
  fi
done

refused() { # REASON ARGUMENT...: exits 2 and says so
  local reason=$1
  shift
  "$DEPTHKV" metrics "$@" -o three -q >/dev/null 2>err
  [ $? -eq 2 ] && grep -q -- "$reason" err || fail "metrics $*: expected '$reason', found '$(cat err)'"
  [ ! -e three ] || fail "metrics $*: left a folder behind"
}
refused "no parameter 'tempreature'; did you mean 'temperature'" x.yaml --param tempreature=1
refused 'drop.*2' x.yaml --param drop=2
refused "x.yaml:6: task 'passkey': 2 samples, and a batch takes 9" x.yaml --param batch=9
refused 'absent.h5' x.yaml --profile absent.h5
refused 'expected one FILE.yaml'
exit 0
