#!/usr/bin/env bash
# As many prompts at once as there are threads: the same rows. Under `make tsan` ThreadSanitizer watches: it can follow
# jobs, which are threads of the program's own, but not teams of OpenMP, and here a team has one thread.
. "$ROOT/tests/cli/lib/model.sh"
experiment | sed 's/^samples: 2/samples: 8/; s/^measure.*/&\nrecord: {kept: true}/' >jobs.yaml
"$DEPTHKV" run jobs.yaml -q --threads 1 --jobs 1 -o one >std 2>err || fail "one job: $(cat err)"
"$DEPTHKV" run jobs.yaml -q --threads 4 --jobs 4 -o four >std 2>err || fail "four jobs: $(cat err)"
comparable one/rows.jsonl >one.rows
comparable four/rows.jsonl | cmp -s - one.rows || fail "other rows"
exit 0
