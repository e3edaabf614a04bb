#!/usr/bin/env bash
# An OpenBLAS that takes the processor for an old one is told better, once, and the manifest says so; also where the program
# is given to the loader, and whatever OpenBLAS then makes of it. What a user asks for is obeyed, with a warning.
. "$ROOT/tests/cli/lib/model.sh"
unset OPENBLAS_CORETYPE GOMP_SPINCOUNT
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0
manifest() { grep -o "\"blas_core$1\": \"[^\"]*\"" out/manifest.json | cut -d'"' -f4; }
experiment | sed 's/^samples: 2/samples: 1/' >tiny.yaml
run() { rm -rf out && "$@" run tiny.yaml -q -o out >std 2>err || fail "$*: $(cat err)"; }

run "$DEPTHKV"
own=$(manifest '')
case $own in
Haswell | Zen | SkylakeX | Cooperlake | SapphireRapids) ;;
*) echo "SKIP: OpenBLAS has kernels $own here, and none that are worse" >&2 && exit 77 ;;
esac
OPENBLAS_CORETYPE=Prescott run "$DEPTHKV"
[ "$(manifest '') $(manifest _chosen_by)" = "Prescott OPENBLAS_CORETYPE" ] || fail "what was asked for: $(grep blas_core out/manifest.json)"
[ "$(grep -c 'warning: OPENBLAS_CORETYPE=Prescott makes OpenBLAS use its kernels Prescott (SSE), and this processor can run' err)" -eq 1 ] ||
  fail "one warning: $(cat err)"
OPENBLAS_CORETYPE=$own run "$DEPTHKV"
grep -q OPENBLAS_CORETYPE err && fail "a warning of what is as good: $(cat err)"

cat >old.c <<'END'
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* OpenBLAS as it is with a processor that it does not know: LEARNS says which name it takes from the environment. Each
 * start of the program leaves a line. */
char *openblas_get_corename(void)
{
    static char name[32];
    const char *set = getenv("OPENBLAS_CORETYPE"), *learns = getenv("LEARNS");
    snprintf(name, sizeof name, "%s", set && (!learns || !strcmp(set, learns)) ? set : "Prescott");
    return name;
}
__attribute__((constructor)) static void count(void)
{
    FILE *f = fopen("starts", "a");
    if (f)
        fprintf(f, "start %s\n", program_invocation_name), fclose(f);
}
END
sed -i 's/#include <stdio.h>/#include <errno.h>\n&/' old.c
# shellcheck disable=SC2086 # it may be two words
${CC:-cc} -shared -fPIC -o old.so old.c 2>err || { echo "SKIP: no compiler: $(cat err)" >&2 && exit 77; }
starts() { grep -c 'depthkv' starts; }
old() { rm -f starts; }
loader=$(ldd "$DEPTHKV" | grep -oE '/[^ ]*ld-linux[^ ]*' | head -1)

old
LD_PRELOAD=$PWD/old.so run "$DEPTHKV"
chosen=$(manifest '')
[ "$chosen" != Prescott ] && [ "$(manifest _chosen_by) $(manifest _in_place_of)" = "depthkv Prescott" ] ||
  fail "told better: $(grep blas_core out/manifest.json), $(cat err)"
[ "$(starts)" -eq 2 ] || fail "started $(starts) times, not twice"
grep -q 'warning:.*OpenBLAS' err && fail "a warning of what was mended: $(cat err)"
old
run "$loader" --preload "$PWD/old.so" "$DEPTHKV"
[ "$(manifest '') $(manifest _chosen_by) $(starts)" = "$chosen depthkv 2" ] || fail "through the loader: $(grep blas_core out/manifest.json)"
old
LEARNS=none LD_PRELOAD=$PWD/old.so run "$DEPTHKV"
[ "$(manifest '')" = Prescott ] && [ "$(starts)" -le 6 ] || fail "told in vain: $(starts) starts, $(cat err)"
grep -q 'warning: OpenBLAS uses its kernels Prescott, also where OPENBLAS_CORETYPE asks for others' err || fail "in vain: $(cat err)"
old
LEARNS=Sandybridge LD_PRELOAD=$PWD/old.so run "$DEPTHKV"
[ "$(manifest '') $(manifest _in_place_of)" = "Sandybridge Prescott" ] || fail "what it learns: $(grep blas_core out/manifest.json)"
old
DEPTHKV_RESTART=0 LD_PRELOAD=$PWD/old.so run "$DEPTHKV"
[ "$(manifest '') $(starts)" = "Prescott 1" ] || fail "it may not: $(grep blas_core out/manifest.json)"
grep -q "did not start again to tell it so: DEPTHKV_RESTART=0 forbids it; set OPENBLAS_CORETYPE=$chosen" err || fail "no warning: $(cat err)"
old
OPENBLAS_CORETYPE=Prescott LD_PRELOAD=$PWD/old.so run env -u OMP_WAIT_POLICY "$DEPTHKV" # told of waiting threads only
[ "$(manifest '') $(manifest _chosen_by) $(starts)" = "Prescott OPENBLAS_CORETYPE 2" ] || fail "the user's choice: $(starts) starts"
exit 0
