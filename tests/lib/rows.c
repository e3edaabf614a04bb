#include "tests/lib/rows.h"

#include <check.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "policies/policy.h"
#include "tests/lib/support.h"

static char folder[64];

char *rows_path(const char *name)
{
    return fs_join(folder, name);
}

const char *rows_enter(void)
{
    strcpy(folder, "/tmp/depthkv-rows-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    char *model = rows_path("tiny.h5");
    support_model_file(model, 3, 2);
    mem_free(model);
    return folder;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)st;
    (void)type;
    (void)f;
    return remove(path);
}

void rows_leave(void)
{
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void rows_write(const char *name, const char *text)
{
    char *path = rows_path(name), *dir = fs_dirname(path);
    struct err e;
    ck_assert_msg(fs_mkdirs(dir, &e) == 0 && fs_write_atomic(path, text, strlen(text), &e) == 0, "%s", e.msg);
    mem_free(path);
    mem_free(dir);
}

char *rows_read(const char *name)
{
    char *path = rows_path(name);
    struct err e;
    size_t n;
    char *text = fs_read(path, &n, &e);
    ck_assert_msg(text != NULL, "%s", e.msg);
    mem_free(path);
    return text;
}

void rows_run(const char *yaml, const char *out, size_t memory, struct runner_summary *sum)
{
    struct experiment x;
    struct runner_summary mine;
    struct str errors = {0};
    struct err e = {0};
    char *path = rows_path("x.yaml"), *dir = rows_path(out);
    rows_write("x.yaml", yaml);
    ck_assert_msg(experiment_load(path, NULL, 0, 0, &x, &errors, &e) == 0, "%s", str_c(&errors));
    struct runner_options o = {.dir = dir, .memory = memory, .quiet = 1};
    ck_assert_msg(runner_run(&x, &o, sum ? sum : &mine, &e) == 0, "%s", e.msg);
    experiment_fini(&x);
    str_free(&errors);
    mem_free(path);
    mem_free(dir);
}

void rows_load(const char *out, struct rows *r)
{
    size_t cap = 0;
    char *name = fs_join(out, "rows.jsonl"), *text = rows_read(name);
    *r = (struct rows){0};
    for (char *p = text, *end; *p; p = end + 1) {
        struct err e;
        end = strchr(p, '\n');
        ck_assert_msg(end != NULL, "a torn last row");
        mem_grow(&r->v, &cap, (size_t)r->n + 1, sizeof *r->v);
        r->v[r->n++] = json_parse("row", p, (size_t)(end - p), &e);
        ck_assert_msg(r->v[r->n - 1] != NULL, "%s", e.msg);
    }
    mem_free(name);
    mem_free(text);
}

void rows_run_and_load(const char *yaml, const char *out, struct rows *r)
{
    rows_run(yaml, out, 0, NULL);
    rows_load(out, r);
}

void rows_free(struct rows *r)
{
    for (int i = 0; i < r->n; i++)
        json_free(r->v[i]);
    mem_free(r->v);
    *r = (struct rows){0};
}

const char *rows_text(const struct json *row, const char *column)
{
    static char text[3][2048];
    static int next;
    const struct json *v = json_get(row, column);
    char *at = text[next++ % 3], *printed = v ? json_print(v) : mem_strdup("");
    snprintf(at, sizeof text[0], "%s", json_is_string(v) ? json_string(v) : printed);
    mem_free(printed);
    return at;
}

const char *rows_told(const struct message_list *l)
{
    static char text[8192];
    text[0] = '\0';
    for (int i = 0; i < l->n; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? "; " : "", l->v[i].text);
    return text;
}

void rows_add_policies(struct str *s)
{
    const char *between = "";
    for (int i = 0; i < policy_count(); i++)
        if (!policy_at(i)->keeps_all) {
            str_addf(s, "%s%s", between, policy_at(i)->name);
            between = ", ";
        }
}

/* The full cache's row that goes with a row. */
static const struct json *full_of(const struct rows *r, const struct json *row)
{
    static const char *const same[] = {"task", "sample", "prune_after", "max_new_tokens"};
    for (int i = 0; i < r->n; i++) {
        int fits = strcmp(rows_text(r->v[i], "policy"), "full") == 0;
        for (size_t k = 0; k < sizeof same / sizeof *same; k++)
            fits = fits && strcmp(rows_text(r->v[i], same[k]), rows_text(row, same[k])) == 0;
        if (fits)
            return r->v[i];
    }
    return NULL;
}

int rows_check_keeps_all(const struct rows *r)
{
    static const char *const same[] = {
        "output", "output_tokens", "finish_reason",   "score",           "nll", "kl", "top1", "kl_max", "kept",
        "keep",   "cache_bytes",   "cache_bytes_end", "first_divergence"};
    int pairs = 0;
    for (int i = 0; i < r->n; i++) {
        const struct json *row = r->v[i], *full = full_of(r, row);
        ck_assert_msg(!strcmp(rows_text(row, "status"), "ok"), "%s: %s", rows_text(row, "policy"),
                      rows_text(row, "reason"));
        ck_assert_ptr_nonnull(full);
        for (size_t k = 0; k < sizeof same / sizeof *same; k++)
            ck_assert_msg(!strcmp(rows_text(row, same[k]), rows_text(full, same[k])), "%s after %s: %s is not full's",
                          rows_text(row, "policy"), rows_text(row, "prune_after"), same[k]);
        ck_assert_str_eq(rows_text(row, "kl"), "0");
        ck_assert_str_eq(rows_text(row, "top1"), "1");
        ck_assert_str_eq(rows_text(row, "first_divergence"), "null");
        ck_assert(isfinite(json_number(json_get(row, "nll"), (double)NAN)));
        int defined = 0; /* a layer whose window the prompt has left loses nothing that could be told */
        for (const struct json *v = json_first(json_get(row, "attention_lost")); v; v = json_next(v)) {
            ck_assert(json_is_null(v) || json_number(v, (double)NAN) == 0);
            defined += !json_is_null(v);
        }
        ck_assert_int_gt(defined, 0);
        pairs += row != full;
    }
    return pairs;
}

const struct json *rows_find(const struct rows *r, const struct json *like)
{
    static const char *const id[] = {"cell", "sample", "question_id"};
    for (int i = 0; i < r->n; i++) {
        int same = 1;
        for (int k = 0; k < 3; k++)
            same = same && strcmp(rows_text(r->v[i], id[k]), rows_text(like, id[k])) == 0;
        if (same)
            return r->v[i];
    }
    return NULL;
}

static int may_differ(const char *column, int place)
{
    size_t n = strlen(column);
    return (n > 2 && strcmp(column + n - 2, "_s") == 0) || strstr(column, "rss") ||
           (!place && (strcmp(column, "group_cells") == 0 || strcmp(column, "cell_index") == 0));
}

void rows_check_equal(const struct json *a, const struct json *b, int place, const char *what)
{
    ck_assert_int_eq(json_size(a), json_size(b));
    for (const struct json *v = json_first(a); v; v = json_next(v)) {
        char *x = json_print(v), *y = json_print(json_get(b, json_key(v)));
        ck_assert_msg(may_differ(json_key(v), place) || strcmp(x, y) == 0,
                      "%s: cell %s (%s), sample %s: %s is %s and %s", what, rows_text(a, "cell"),
                      rows_text(a, "policy"), rows_text(a, "sample"), json_key(v), x, y);
        mem_free(x);
        mem_free(y);
    }
}

void rows_check_all(const struct rows *a, const struct rows *b, int place, const char *what)
{
    for (int i = 0; i < a->n; i++) {
        const struct json *other = rows_find(b, a->v[i]);
        ck_assert_msg(other != NULL, "%s: no row of cell %s", what, rows_text(a->v[i], "cell"));
        rows_check_equal(a->v[i], other, place, what);
    }
}

char *rows_command(int (*command)(int argc, char **argv), const char *const *word, int *status)
{
    char *argv[16] = {NULL}, *owned[16], *file = rows_path("stdout");
    int argc = 0, old = dup(STDOUT_FILENO);
    for (; word[argc]; argc++)
        argv[argc] = owned[argc] = mem_strdup(word[argc]); /* getopt reorders them */
    fflush(stdout);
    ck_assert_ptr_nonnull(freopen(file, "w", stdout));
    *status = command(argc, argv);
    fflush(stdout);
    dup2(old, STDOUT_FILENO);
    close(old);
    for (int i = 0; i < argc; i++)
        mem_free(owned[i]);
    mem_free(file);
    return rows_read("stdout");
}

void rows_add_fake(struct str *s, const struct rows_fake *f)
{
    str_addf(s,
             "{\"schema\":1,\"cell\":\"%s\",\"key\":\"k\",\"cell_index\":%d,\"model\":\"m\",\"task\":\"%s\",\"task_"
             "params\":{},"
             "\"sample\":%d,\"seed\":1,\"question_id\":\"%s\",\"context_id\":\"%s\",\"prompt_sha256\":\"ab\","
             "\"policy\":\"%s\","
             "\"params\":{\"window\":%d},\"budget\":\"%s\",\"keep\":%s,\"keep_tokens\":10,\"keep_bytes\":80,\"kept\":["
             "10,10],"
             "\"layer_budget\":%s,"
             "\"protect\":{},\"prefill\":\"full\",\"decode\":\"frozen\",\"positions\":\"original\",\"prune_after\":"
             "\"prompt\",\"policy_seed\":%d,\"status\":\"%s\",\"metric\":\"f1\",\"score\":",
             f->cell, f->index, f->task ? f->task : "t", f->sample, f->question, f->context, f->policy,
             f->window ? f->window : 32, f->budget, *f->budget ? f->budget : "1",
             f->layer_budget ? f->layer_budget : "\"uniform\"", f->seed, f->status ? f->status : "ok");
    str_add_json_double(s, f->score);
    if (f->length)
        str_addf(s, ",\"length\":%d", f->length);
    if (f->new_tokens)
        str_addf(s, ",\"max_new_tokens\":%d", f->new_tokens);
    str_add(s, ",\"metrics\":{\"f1\":0,\"recall\":");
    str_add_json_double(s, f->score / 2);
    str_add(s, "},\"nll\":null,\"kl\":");
    str_add_json_double(s, f->kl);
    str_add(s, ",\"level\":");
    str_add_json_double(s, f->level > 0 ? f->level : (double)NAN);
    str_addf(s, ",\"top1\":null,\"kl_max\":null,\"cache_bytes\":%.0f%s}\n", f->bytes > 0 ? f->bytes : 100,
             f->more ? f->more : "");
}
