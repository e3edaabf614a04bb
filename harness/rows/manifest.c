#include "harness/rows/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "harness/base/clock.h"
#include "harness/base/fs.h"
#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "harness/rows/build_id.h"
#include "harness/rows/source_id.h"
#include "models/blas_choice.h"
#include "models/kernels.h"
#include "models/threads.h"
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

/* One engine: what build_id_describe says, which program and processor it was, and since when. */
static void add_engine(const char *engine, const char *cpu, const char *date, struct str *s)
{
    struct str lines = {0};
    build_id_describe(&lines);
    str_addf(s, "{\"engine\": \"%.16s\", \"build\": ", engine);
    str_add_json(s, source_id_git, strlen(source_id_git));
    str_add(s, ", \"cpu\": ");
    str_add_json(s, cpu, strlen(cpu));
    str_addf(s, ", \"since\": \"%s\"", date);
    for (const char *p = lines.p; *p;) {
        const char *end = strchr(p, '\n'), *space = memchr(p, ' ', (size_t)(end - p));
        str_addf(s, ", \"%.*s\": ", (int)(space - p), p);
        str_add_json(s, space + 1, (size_t)(end - space - 1));
        p = end + 1;
    }
    str_addc(s, '}');
    str_free(&lines);
}

/* Every engine that has run in this folder: those of the manifest that is there, and this one. */
static void add_engines(const char *dir, const char *engine, const char *cpu, const char *date, struct str *s)
{
    size_t n = 0;
    int known = 0;
    const char *comma = "";
    char *path = fs_join(dir, "manifest.json"), *text = fs_exists(path) ? fs_read(path, &n, NULL) : NULL;
    struct json *old = text ? json_parse(path, text, n, NULL) : NULL;
    const struct json *list = json_get(old, "engines");
    str_add(s, ",\n \"engines\": [");
    for (const struct json *m = json_is_array(list) ? json_first(list) : NULL; m; m = json_next(m)) {
        const char *id = json_string(json_get(m, "engine"));
        char *printed = json_print(m);
        known |= id && strncmp(id, engine, BUILD_ID_SHORT - 1) == 0;
        str_addf(s, "%s%s", comma, printed);
        comma = ",\n  ";
        mem_free(printed);
    }
    if (old && !list) { /* an older version named the last one only */
        static const char *const has[] = {"build", "compiler_and_flags", "blas", "cpu"};
        const char *id = json_string(json_get(old, "engine_sha256"));
        str_addf(s, "{\"engine\": \"%.16s\"", id && strspn(id, "0123456789abcdef") == HASH_HEX - 1 ? id : "");
        for (size_t k = 0; k < sizeof has / sizeof *has; k++) {
            char *printed = json_print(json_get(old, has[k]));
            str_addf(s, ", \"%s\": %s", has[k], printed);
            mem_free(printed);
        }
        str_addc(s, '}');
        comma = ",\n  ";
    }
    if (!known) {
        str_add(s, comma);
        add_engine(engine, cpu, date, s);
    }
    str_addc(s, ']');
    json_free(old);
    mem_free(text);
    mem_free(path);
}

/* Which of OpenBLAS's kernels, and whose choice they were. */
static void add_blas_core(struct str *s)
{
    const char *instead = blas_choice_instead_of(), *set = getenv("OPENBLAS_CORETYPE");
    text(s, "blas_core", blas_choice_core());
    text(s, "blas_core_chosen_by", instead ? "depthkv" : set && *set ? "OPENBLAS_CORETYPE" : "OpenBLAS");
    if (instead)
        text(s, "blas_core_in_place_of", instead);
}

int manifest_write(const char *dir, const struct experiment *x, int argc, char *const *argv, int finished,
                   struct err *e)
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
    text(&s, "version", source_id_version);
    text(&s, "build", source_id_git);
    text(&s, "engine_sha256", engine);
    text(&s, "compiler_and_flags", source_id_flags);
    text(&s, "blas", kernels_blas());
    add_blas_core(&s);
    text(&s, "cpu", str_c(&cpu));
    text(&s, "host", u.nodename);
    text(&s, "system", u.release);
    if (finished)
        text(&s, "finished", date);
    else
        str_add(&s, ",\n \"finished\": null");
    str_addf(&s, ",\n \"threads\": %d,\n \"peak_rss_bytes\": %zu,\n \"seed\": %llu,\n \"samples\": %d,\n \"cells\": %d",
             transformer_threads(), clock_peak_rss(), (unsigned long long)x->seed, x->samples, x->n_cell);
    str_addf(&s, ",\n \"threads_placed\": %d", threads_placed());
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
    add_engines(dir, engine, str_c(&cpu), date, &s);
    add_baselines(x, &s);
    str_add(&s, "}\n");
    char *path = fs_join(dir, "manifest.json");
    int rc = fs_write_atomic(path, s.p, s.n, e);
    mem_free(path);
    str_free(&s);
    str_free(&cpu);
    return rc;
}
