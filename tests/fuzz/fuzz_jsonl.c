/* The user's records. Parts: parameters of the task, a line each (name=value), and the file. Every sample of a file
 * that is accepted can be made. */
#include <string.h>

#include "datasets/dataset.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "tests/fuzz/fuzz.h"

enum { PARAMS, RECORDS, N_PART };
enum { MOST_SAMPLES = 50 };

/* A token is a byte. */
static int prompt_tokens(void *ctx, const char *context, size_t n_context, const char *question,
                         const char *answer_prefix)
{
    (void)ctx;
    (void)context;
    return (int)(n_context + strlen(question) + strlen(answer_prefix));
}

static char *truncate_middle(void *ctx, const char *context, size_t n_context, int max_tokens, struct err *e)
{
    (void)ctx;
    (void)e;
    size_t keep = n_context < (size_t)max_tokens ? n_context : (size_t)max_tokens, head = keep / 2;
    char *text = mem_new(keep + 1, 1);
    memcpy(text, context, head);
    memcpy(text + head, context + n_context - (keep - head), keep - head);
    return text;
}

static size_t head_bytes(void *ctx, const char *text, size_t n, int max_tokens)
{
    (void)ctx;
    (void)text;
    return n < (size_t)max_tokens ? n : (size_t)max_tokens;
}

/* What is no parameter, or out of its bounds, stays what it is. `file` is ours. */
static void set_params(const struct dataset_ops *d, void *config, const struct fuzz_part *lines, const char *file)
{
    char *text = mem_strndup(lines->p ? lines->p : "", lines->n), *rest = text;
    struct err e;
    for (char *line; (line = strsep(&rest, "\n"));) {
        char *value = strchr(line, '=');
        if (!value)
            continue;
        *value++ = '\0';
        const struct param *p = param_find(d->params, line);
        if (p && strcmp(line, "file") != 0)
            (void)param_set(p, config, (const char *const[]){value}, 1, &e);
    }
    fuzz_demand(param_set(param_find(d->params, "file"), config, &file, 1, &e) == 0, "parameter file");
    mem_free(text);
}

int fuzz_jsonl(const char *data, size_t n)
{
    const struct dataset_ops *d = dataset_find("jsonl");
    const struct dataset_env env = {.prompt_tokens = prompt_tokens,
                                    .truncate_middle = truncate_middle,
                                    .head_bytes = head_bytes,
                                    .context_length = 200,
                                    .data_dir = "datasets",
                                    .base_dir = fuzz_dir()};
    struct fuzz_part part[N_PART];
    void *self = NULL, *config = mem_new(1, d->config_size);
    fuzz_split(data, n, part, N_PART);
    fuzz_file("records.jsonl", part[RECORDS].p ? part[RECORDS].p : "", part[RECORDS].n);
    param_defaults(d->params, config);
    set_params(d, config, &part[PARAMS], "records.jsonl");
    int rc = d->open(&self, config, &env, &fuzz_said);
    for (int i = 0; rc == 0 && i < d->count(self) && i < MOST_SAMPLES; i++) {
        struct dataset_item item = {0};
        if (d->item(self, i, 1, 16, &item, &fuzz_said) == 0) {
            fuzz_demand(item.context && strlen(item.context) == item.n_context, "a context");
            for (int q = 0; q < item.n_question; q++)
                fuzz_demand(item.question[q].id && item.question[q].text && item.question[q].answer_prefix,
                            "a question");
        }
        dataset_item_fini(&item);
    }
    if (rc == 0)
        d->close(self);
    param_fini(d->params, config);
    mem_free(config);
    return rc == 0;
}
