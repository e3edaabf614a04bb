#include "harness/rows/rowkey.h"

#include <string.h>

#include "harness/rows/build_id.h"
#include "harness/rows/source_id.h"

static void hash_text(struct hash_sha256_ctx *h, const char *s)
{
    hash_sha256_update(h, s, strlen(s) + 1); /* with the NUL, so that joints can't shift */
}

static void hash_texts(struct hash_sha256_ctx *h, char *const *s, int n)
{
    hash_sha256_update(h, &n, sizeof n); /* so that a text can't move from one list to the next */
    for (int i = 0; i < n; i++)
        hash_text(h, s[i]);
}

void rowkey_cell(const struct experiment *x, const struct cell *c, const struct model *m, const char *engine,
                 char hex[HASH_HEX])
{
    char sources[HASH_HEX];
    const struct exp_task *t = &x->task[c->task];
    struct hash_sha256_ctx *h = hash_sha256_create();
    build_id_cell(c, source_files, sources);
    hash_text(h, c->json);
    hash_text(h, c->inputs);
    hash_text(h, m->sha256);
    hash_text(h, m->tokenizer_sha256); /* prompts say how it encodes, and not how it decodes or where an output ends */
    hash_text(h, engine);
    hash_text(h, sources);
    hash_sha256_update(h, &x->measure, sizeof x->measure);
    for (int i = 0; i < t->n_metric; i++)
        hash_text(h, t->metric[i]->name);
    hash_sha256_finish(h, hex);
}

void rowkey_question(const struct dataset_item *item, int q, const struct prompt *p, char hex[HASH_HEX])
{
    const struct dataset_question *dq = &item->question[q];
    struct hash_sha256_ctx *h = hash_sha256_create();
    hash_text(h, item->context_id);
    hash_sha256_update(h, &p->ids.n, sizeof p->ids.n);
    hash_sha256_update(h, p->ids.id, (size_t)p->ids.n * sizeof *p->ids.id);
    hash_sha256_update(h, &p->context_end, sizeof p->context_end);
    hash_sha256_update(h, &p->question_end, sizeof p->question_end);
    hash_sha256_update(h, p->evidence ? "e" : "-", 1);
    if (p->evidence)
        hash_sha256_update(h, p->evidence, (size_t)p->context_end);
    hash_texts(h, dq->answer, dq->n_answer);
    hash_sha256_update(h, &p->target.n, sizeof p->target.n);
    hash_sha256_update(h, p->target.id, (size_t)p->target.n * sizeof *p->target.id);
    hash_texts(h, dq->stop, dq->n_stop);
    hash_texts(h, dq->classes, dq->n_class);
    hash_sha256_update(h, &dq->max_new_tokens, sizeof dq->max_new_tokens);
    hash_sha256_finish(h, hex);
}

void rowkey_join(const char *cell, const char *question, char hex[HASH_HEX])
{
    struct hash_sha256_ctx *h = hash_sha256_create();
    hash_text(h, cell);
    hash_text(h, question);
    hash_sha256_finish(h, hex);
}
