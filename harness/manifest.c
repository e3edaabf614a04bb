#include "harness/manifest.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "harness/base/clock.h"
#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/build_id.h"
#include "harness/source_id.h"
#include "models/kernels.h"
#include "models/transformer.h"

static void text(struct str *s, const char *key, const char *value)
{
    str_addf(s, ",\n \"%s\": ", key);
    str_add_json(s, value, strlen(value));
}

void manifest_cpu(struct str *out)
{
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[512];
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':')) {
            str_add(out, strchr(line, ':') + 2);
            break;
        }
    if (out->n && out->p[out->n - 1] == '\n')
        out->p[--out->n] = '\0';
    if (f)
        fclose(f);
}

static void add_baselines(const struct experiment *x, struct str *s)
{
    const char *comma = "";
    text(s, "baseline", x->baseline);
    str_add(s, ",\n \"baselines\": {");
    for (int i = 0; i < x->n_cell; i++) {
        const struct cell *c = &x->cell[i];
        if (c->baseline >= 0)
            str_addf(s, "%s\"%s\": \"%s\"", comma, c->id, x->cell[c->baseline].id);
        else
            str_addf(s, "%s\"%s\": null", comma, c->id);
        comma = ", ";
    }
    str_add(s, "}");
}

int manifest_write(const char *dir, const struct experiment *x, int argc, char *const *argv, int finished, struct err *e)
{
    struct str s = {0}, cpu = {0};
    struct utsname u = {0};
    char engine[HASH_HEX], date[64];
    time_t now = time(NULL);
    struct tm tm;
    build_id_engine(engine);
    uname(&u);
    manifest_cpu(&cpu);
    gmtime_r(&now, &tm);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &tm);
    str_add(&s, "{\"schema\": 1");
    text(&s, "experiment", x->name);
    text(&s, "question", x->question);
    text(&s, "build", source_id_git);
    text(&s, "engine_sha256", engine);
    text(&s, "compiler_and_flags", source_id_flags);
    text(&s, "blas", kernels_blas());
    text(&s, "cpu", str_c(&cpu));
    text(&s, "host", u.nodename);
    text(&s, "system", u.release);
    if (finished)
        text(&s, "finished", date);
    else
        str_add(&s, ",\n \"finished\": null");
    str_addf(&s, ",\n \"threads\": %d,\n \"peak_rss_bytes\": %zu,\n \"seed\": %llu,\n \"samples\": %d,\n \"cells\": %d",
             transformer_threads(), clock_peak_rss(), (unsigned long long)x->seed, x->samples, x->n_cell);
    str_add(&s, ",\n \"models\": [");
    for (int i = 0; i < x->n_model; i++) {
        str_add(&s, i ? ", {\"name\": " : "{\"name\": ");
        str_add_json(&s, x->model[i].name, strlen(x->model[i].name));
        str_addf(&s, ", \"sha256\": \"%s\"}", x->model[i].sha256);
    }
    str_add(&s, "],\n \"arguments\": [");
    for (int i = 0; i < argc; i++) {
        str_add(&s, i ? ", " : "");
        str_add_json(&s, argv[i], strlen(argv[i]));
    }
    str_add(&s, "]");
    add_baselines(x, &s);
    str_add(&s, "}\n");
    char *path = fs_join(dir, "manifest.json");
    int rc = fs_write_atomic(path, s.p, s.n, e);
    mem_free(path);
    str_free(&s);
    str_free(&cpu);
    return rc;
}
