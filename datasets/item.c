#include "datasets/item.h"

#include "harness/base/mem.h"

void item_begin(struct dataset_item *item, int index, int n_question, struct str *context)
{
    struct str id = {0};
    str_addf(&id, "%d", index);
    item->context_id = str_take(&id);
    item->question = mem_new((size_t)n_question, sizeof *item->question);
    item->n_context = context->n;
    str_addn(context, "", 0); /* never NULL */
    item->context = str_take(context);
}

struct dataset_question *item_question(struct dataset_item *item, const char *text, const char *answer_prefix)
{
    struct dataset_question *q = &item->question[item->n_question];
    struct str id = {0};
    str_add(&id, item->context_id);
    if (item->n_question)
        str_addf(&id, "-%d", item->n_question);
    item->n_question++;
    q->id = str_take(&id);
    q->text = mem_strdup(text);
    q->answer_prefix = mem_strdup(answer_prefix);
    return q;
}

void item_answer(struct dataset_question *q, const char *text, size_t n)
{
    size_t cap = (size_t)q->n_answer;
    mem_grow(&q->answer, &cap, cap + 1, sizeof *q->answer);
    q->answer[q->n_answer++] = mem_strndup(text, n);
}

void item_evidence(struct dataset_item *item, size_t begin, size_t end)
{
    size_t cap = (size_t)item->n_evidence;
    mem_grow(&item->evidence, &cap, cap + 1, sizeof *item->evidence);
    item->evidence[item->n_evidence++] = (struct dataset_span){begin, end};
}

void item_target(const struct dataset_question *q, struct str *out)
{
    if (q->target) {
        str_add(out, q->target);
        return;
    }
    for (int i = 0; i < q->n_answer; i++) {
        str_add(out, i ? ", " : " ");
        str_add(out, q->answer[i]);
    }
}

static void free_texts(char **text, int n)
{
    for (int i = 0; i < n; i++)
        mem_free(text[i]);
    mem_free(text);
}

void dataset_item_fini(struct dataset_item *item)
{
    for (int i = 0; i < item->n_question; i++) {
        struct dataset_question *q = &item->question[i];
        mem_free(q->id);
        mem_free(q->text);
        mem_free(q->answer_prefix);
        mem_free(q->target);
        free_texts(q->answer, q->n_answer);
        free_texts(q->classes, q->n_class);
        free_texts(q->stop, q->n_stop);
    }
    mem_free(item->question);
    mem_free(item->context_id);
    mem_free(item->context);
    mem_free(item->evidence);
    *item = (struct dataset_item){0};
}
