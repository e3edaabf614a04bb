#!/bin/sh
# The studies of one real model, one after the other, into results/models/NAME; the same command continues what was stopped.
# usage: [LIMIT=N] experiments/models/run.sh NAME [STUDY...]     N samples a task at most; from the top folder, after make NAME; smollm2, qwen05, qwen15 or gemma3
# Studies: layers, whose profile.h5 belongs into results/published/models/NAME for the others to read; allocation, top, cloud, transfer,
# metrics, ability. gemma3 has windows in place of top, cloud and metrics, which three prunable layers are too few for. A task is
# there because the full cache solves it.
set -eu

usage() {
    sed -n 's/^# \(usage: .*\)/\1/p' "$0" >&2
    exit 2
}

[ $# -ge 1 ] || usage
name=$1
shift
template=raw dtype=f32 new=32
chat='[{niah_single_2: {length: 1024}}, {niah_multikey_1: {length: 1024}}, {niah_multikey_2: {length: 1024}}, {qa_1: {length: 1024}}]'
known="layers allocation top cloud transfer metrics ability"
case $name in
smollm2) file=smollm2-135m-instruct new=48 tasks='[{niah_single_1: {length: 1024}}, {niah_single_2: {length: 1024}}, {niah_multivalue: {length: 1024}}]' ;;
qwen05) file=qwen2.5-coder-0.5b-instruct template=chat tasks=$chat ;;
qwen15) file=qwen2.5-coder-1.5b-instruct template=chat dtype=bf16 tasks=$chat ;;
gemma3)
    file=gemma-3-270m new=16 tasks='[{niah_single_1: {length: 1024}}, {niah_single_2: {length: 1024}}, {niah_multikey_1: {length: 1024}}]'
    known="layers allocation transfer windows ability"
    ;;
*) usage ;;
esac
names=$(echo "$tasks" | sed 's/{\([a-z_0-9]*\): {[^}]*}}/\1/g')
profile=results/published/models/$name/profile.h5
out=results/models/$name
# shellcheck disable=SC2086 # words of a list
[ $# -gt 0 ] || set -- $known
for study; do
    case " $known " in *" $study "*) ;; *) echo "$0: study '$study' unknown for $name: $known" >&2 && exit 2 ;; esac
done

# STUDY FILE COMMAND [further arguments]
go() {
    study=$1 yaml=experiments/models/$2.yaml command=$3
    shift 3
    echo "== $name: $study"
    ./depthkv "$command" "$yaml" -o "$out/$study" --set "model=../../models/cache/$file.h5" --set "template=$template" \
        --set "weight_dtype=$dtype" ${LIMIT:+--limit "$LIMIT"} "$@"
}

for study; do
    case $study in
    ability) go ability ability run ;;
    windows) go windows windows run ;;
    layers)
        go layers layers run --set "max_new_tokens=$new" --set "tasks=$tasks"
        ;;
    metrics)
        mkdir -p "$out/metrics"
        cp "$profile" "$out/metrics/profile.h5"
        [ ! -e "$out/layers/rows.jsonl" ] || cp "$out/layers/rows.jsonl" "$out/metrics/"
        go metrics layers metrics --set "max_new_tokens=$new" --set "tasks=$tasks"
        ;;
    allocation)
        if [ "$name" = gemma3 ]; then
            go allocation allocation_gemma3 run
        else
            go allocation allocation run --set "max_new_tokens=$new" --set "tasks=$tasks" --set "profile=../../$profile"
        fi
        ;;
    transfer)
        s="[{policy: [{h2o: {recent: 32}}, {snapkv: {window: 32}}], keep: 0.2, layer_budget: [uniform,
            {sensitivity: {policy: [h2o, snapkv, keydiff, depthkv]}}, {sensitivity: {policy: h2o, task: $names}},
            {sensitivity: {policy: h2o, level: [0.05, 0.2]}}]}]"
        go transfer transfer run --set "max_new_tokens=$new" --set "tasks=$tasks" --set "profile=../../$profile" --set "sweep=$s"
        ;;
    *) go "$study" "$study" run --set "max_new_tokens=$new" --set "tasks=$tasks" --set "profile=../../$profile" ;;
    esac
done
