/* An experiment file, in a folder that has a model, records and a profile to name. One that is accepted says itself
 * again: what it prints as config.yaml loads, and to the same. */
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/experiment/conf.h"
#include "harness/experiment/experiment.h"
#include "models/import.h"
#include "tests/fuzz/fuzz.h"

static const char records[] =
    "{\"id\":\"a\",\"context\":\"The lamp is green. \",\"question\":\"What is green?\",\"answers\":[\"the lamp\"]}\n";

/* The model is a seed of another format. */
static void furnish(void)
{
    static int done;
    if (done)
        return;
    const struct import_options o = {.dtype = MODEL_F32};
    struct import_source s;
    struct err e = {0};
    char *model = fuzz_path("m.h5");
    fuzz_demand(import_open("tests/fuzz/corpus/gguf/q4", &s, &e) == 0 && import_write(&s, model, &o, &e) == 0, e.msg);
    import_close(&s);
    fuzz_file("r.jsonl", records, strlen(records));
    done = 1;
    mem_free(model);
}

static void parse(const char *name, const char *data, size_t n)
{
    struct err e;
    struct conf *c = conf_parse(name, data, n, &e), *d = c ? conf_copy(c) : NULL, *both = c ? conf_merge(c, d) : NULL;
    struct str text = {0}, again = {0};
    if (c) {
        conf_print(c, &text);
        conf_print(both, &again);
        fuzz_demand(strcmp(str_c(&text), str_c(&again)) == 0, "a tree merged with itself is another");
    }
    conf_free(c);
    conf_free(d);
    conf_free(both);
    str_free(&text);
    str_free(&again);
}

static void reload(const char *name, const struct experiment *x)
{
    struct experiment y;
    struct str config = {0}, errors = {0}, again = {0};
    struct err e;
    experiment_print(x, x->dir, &config);
    int rc = experiment_load_text(name, str_c(&config), NULL, 0, 0, &y, &errors, &e);
    fuzz_demand(rc == 0, rc ? str_c(&errors) : "");
    experiment_print(&y, y.dir, &again);
    fuzz_demand(strcmp(str_c(&config), str_c(&again)) == 0, "config.yaml loads to something else");
    experiment_fini(&y);
    str_free(&config);
    str_free(&errors);
    str_free(&again);
}

int fuzz_yaml(const char *data, size_t n)
{
    struct experiment x;
    struct str errors = {0};
    furnish();
    char *name = fuzz_path("x.yaml"), *text = mem_strndup(data, n);
    parse(name, data, n);
    int ok = strlen(text) == n && experiment_load_text(name, text, NULL, 0, 0, &x, &errors, &fuzz_said) == 0;
    if (ok) {
        reload(name, &x);
        experiment_fini(&x);
    }
    str_free(&errors);
    mem_free(text);
    mem_free(name);
    return ok;
}
