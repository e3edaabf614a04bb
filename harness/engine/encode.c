#include "harness/engine/encode.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/data_dir.h"
#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "harness/base/unicode.h"
#include "harness/engine/target.h"

static int encode(const struct model *m, const char *text, size_t n, struct token_ids *ids, struct token_ids *end,
                  struct err *e)
{
    if (end)
        return tokenizer_encode_offsets(m->tokenizer, text, n, ids, end, e);
    return tokenizer_encode(m->tokenizer, text, n, ids, e);
}

/* Marks the tokens of the context that overlap a span. end[i]: byte of prefix + context where token i ends; the
 * context's first bytes may be left out. */
static void mark_evidence(const struct dataset_item *item, size_t prefix_bytes, size_t left_out, int first,
                          const int32_t *end, struct prompt *p)
{
    p->evidence = mem_new((size_t)p->context_end + 1, 1);
    for (int i = first; i < p->context_end; i++) {
        size_t to = (size_t)end[i - first], from = i > first ? (size_t)end[i - first - 1] : 0;
        for (int s = 0; s < item->n_evidence; s++)
            if (from + left_out < item->evidence[s].end + prefix_bytes &&
                to + left_out > item->evidence[s].begin + prefix_bytes)
                p->evidence[i] = 1;
        p->n_evidence += p->evidence[i];
    }
}

/* 1 when BOS goes in front: a chat template says itself what stands there. */
static int adds_bos(const struct model *m, const struct template_pieces *t)
{
    return !t->whole && tokenizer_add_bos(m->tokenizer) && tokenizer_bos(m->tokenizer) >= 0;
}

/* What a template puts before the context. */
static void add_front(struct str *s, const struct template_pieces *t)
{
    str_add(s, t->prefix);
    str_addn(s, t->system, t->n_system);
    str_add(s, t->between);
}

/* What a template leaves of context and question: all, or what stands between white space around the two together. */
struct message {
    const char *context, *question;
    size_t n_context, n_question;
};

static struct message message_of(const struct template_pieces *t, const char *context, size_t n_context,
                                 const char *question)
{
    struct message m = {context, question, n_context, strlen(question)};
    int front = (t->trim & TEMPLATE_TRIM_FRONT) != 0, end = (t->trim & TEMPLATE_TRIM_END) != 0;
    unicode_trim(&m.context, &m.n_context, front, 0);
    unicode_trim(&m.question, &m.n_question, front && m.n_context == 0, end);
    if (m.n_question == 0)
        unicode_trim(&m.context, &m.n_context, 0, end);
    return m;
}

static int encode_pieces(const struct model *m, const struct template_pieces *t, const char *context, size_t n_context,
                         const char *question, const char *answer_prefix, struct prompt *p, struct token_ids *end,
                         struct err *e)
{
    struct str text = {0};
    struct message x = message_of(t, context, n_context, question);
    int rc = -1;
    if (adds_bos(m, t))
        token_ids_add(&p->ids, tokenizer_bos(m->tokenizer));
    add_front(&text, t);
    str_addn(&text, x.context, x.n_context);
    if (encode(m, str_c(&text), text.n, &p->ids, end, e))
        goto out;
    p->context_end = p->ids.n;
    if (encode(m, x.question, x.n_question, &p->ids, NULL, e))
        goto out;
    p->question_end = p->ids.n;
    str_clear(&text);
    str_add(&text, t->suffix);
    str_add(&text, answer_prefix);
    if (encode(m, str_c(&text), text.n, &p->ids, NULL, e))
        goto out;
    rc = 0;
out:
    str_free(&text);
    return rc;
}

static int encode_target(const struct encode_context *c, const struct dataset_item *item,
                         const struct dataset_question *q, struct token_ids *out, struct err *e)
{
    struct str front = {0};
    if (!c->target_delimiter || !q->n_answer)
        return 0;
    add_front(&front, &c->pieces);
    const char *const before[] = {str_c(&front), item->context, q->text, c->pieces.suffix, q->answer_prefix};
    int rc = target_encode(c->model->tokenizer, before, 5, c->target_delimiter, q->answer[0], out, e);
    str_free(&front);
    return rc;
}

int encode_prompt(const struct encode_context *c, const struct dataset_item *item, int question, struct prompt *out,
                  struct err *e)
{
    const struct model *m = c->model;
    const struct template_pieces *t = &c->pieces;
    const struct dataset_question *q = &item->question[question];
    struct prompt p = {0};
    struct token_ids end = {0};
    int rc = -1, first = adds_bos(m, t);
    if (encode_pieces(m, t, item->context, item->n_context, q->text, q->answer_prefix, &p,
                      item->n_evidence ? &end : NULL, e) ||
        encode_target(c, item, q, &p.target, e))
        goto out;
    if (item->n_evidence)
        mark_evidence(item, strlen(t->prefix) + t->n_system + strlen(t->between),
                      (size_t)(message_of(t, item->context, item->n_context, "").context - item->context), first,
                      end.id, &p);
    if (p.ids.n == 0) {
        err_set(e, ERR_CONFIG, "the prompt is empty");
        goto out;
    }
    *out = p;
    p = (struct prompt){0};
    rc = 0;
out:
    token_ids_free(&end);
    encode_prompt_fini(&p);
    return rc;
}

void encode_prompt_fini(struct prompt *p)
{
    token_ids_free(&p->ids);
    token_ids_free(&p->target);
    mem_free(p->evidence);
    *p = (struct prompt){0};
}

int encode_n_before(const struct prompt *p, enum prune_after a)
{
    int n = p->ids.n;
    if (a == PRUNE_AFTER_PROMPT)
        return n;
    if (a == PRUNE_AFTER_CONTEXT)
        n = p->context_end;
    else if (a == PRUNE_AFTER_QUESTION)
        n = p->question_end;
    return n == p->ids.n ? n - 1 : n;
}

static int env_prompt_tokens(void *ctx, const char *context, size_t n_context, const char *question,
                             const char *answer_prefix)
{
    const struct encode_context *c = ctx;
    struct prompt p = {0};
    int n = -1;
    if (encode_pieces(c->model, &c->pieces, context, n_context, question, answer_prefix, &p, NULL, NULL) == 0)
        n = p.ids.n;
    encode_prompt_fini(&p);
    return n;
}

static char *env_truncate_middle(void *ctx, const char *context, size_t n_context, int max_tokens, struct err *e)
{
    const struct encode_context *c = ctx;
    struct token_ids ids = {0};
    struct str text = {0};
    char *out = NULL;
    if (tokenizer_encode(c->model->tokenizer, context, n_context, &ids, e) == 0) {
        if (max_tokens < 0)
            max_tokens = 0;
        if (ids.n <= max_tokens) {
            str_addn(&text, context, n_context);
        } else {
            int half = max_tokens / 2;
            tokenizer_decode(c->model->tokenizer, ids.id, half, 1, &text);
            tokenizer_decode(c->model->tokenizer, ids.id + ids.n - half, half, 1, &text);
        }
        out = str_take(&text);
    }
    token_ids_free(&ids);
    return out;
}

static size_t env_head_bytes(void *ctx, const char *text, size_t n, int max_tokens)
{
    const struct encode_context *c = ctx;
    struct token_ids ids = {0}, end = {0};
    size_t bytes = 0;
    if (tokenizer_encode_offsets(c->model->tokenizer, text, n, &ids, &end, NULL) == 0 && max_tokens > 0)
        bytes = ids.n <= max_tokens ? n : (size_t)end.id[max_tokens - 1];
    token_ids_free(&ids);
    token_ids_free(&end);
    return bytes;
}

void encode_dataset_env(struct encode_context *c, const char *base_dir, struct dataset_env *env)
{
    *env = (struct dataset_env){
        .ctx = c,
        .prompt_tokens = env_prompt_tokens,
        .truncate_middle = env_truncate_middle,
        .head_bytes = env_head_bytes,
        .context_length = c->model->hp.context_length,
        .data_dir = data_dir(),
        .base_dir = base_dir,
    };
}
