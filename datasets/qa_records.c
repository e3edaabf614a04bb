#include "datasets/qa_records.h"

#include <stdlib.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"

/* Documents as they stand in the file; questions refer to them by their number there until all are known. */
struct reader {
    struct qa_records *r;
    const char *path;
    char **raw;
    size_t n_raw, cap_raw, cap_question, cap_article;
    struct str at; /* where we are, as data[3].paragraphs[0] */
    struct err *e;
};

static int bad(const struct reader *d, const char *field, const char *what)
{
    return err_set(d->e, ERR_FORMAT, "%s: %s%s'%s' %s", d->path, str_c(&d->at), d->at.n ? ": " : "", field, what);
}

static const char *text_of(const struct reader *d, const struct json *object, const char *field)
{
    const char *text = json_string(json_get(object, field));
    if (!text || !*text) {
        bad(d, field, "is missing, empty or no text");
        return NULL;
    }
    return text;
}

static const struct json *list_of(const struct reader *d, const struct json *object, const char *field)
{
    const struct json *list = json_get(object, field);
    if (!json_is_array(list)) {
        bad(d, field, "is missing, or no list");
        return NULL;
    }
    return list;
}

/* Takes the text over; its number comes back. */
static int add_document(struct reader *d, char *text)
{
    mem_grow(&d->raw, &d->cap_raw, d->n_raw + 1, sizeof *d->raw);
    d->raw[d->n_raw] = text;
    return (int)d->n_raw++;
}

static struct qa_question *add_question(struct reader *d, const char *text, const struct json *id)
{
    struct qa_records *r = d->r;
    struct str number = {0};
    str_addf(&number, "%d", r->n_question);
    mem_grow(&r->question, &d->cap_question, (size_t)r->n_question + 1, sizeof *r->question);
    struct qa_question *q = &r->question[r->n_question++];
    *q = (struct qa_question){.text = mem_strdup(text), .article = -1};
    q->id = json_string(id) ? mem_strdup(json_string(id)) : id ? json_print(id) : mem_strdup(number.p);
    str_free(&number);
    return q;
}

static void add_answer(struct qa_question *q, const char *text)
{
    for (int i = 0; i < q->n_answer; i++)
        if (strcmp(q->answer[i], text) == 0)
            return;
    mem_room(&q->answer, (size_t)q->n_answer, sizeof *q->answer);
    q->answer[q->n_answer++] = mem_strdup(text);
}

static void add_evidence(struct qa_question *q, int doc, size_t begin, size_t end)
{
    for (int i = 0; i < q->n_evidence; i++)
        if (q->evidence[i].doc == doc && q->evidence[i].begin == begin && q->evidence[i].end == end)
            return;
    mem_room(&q->evidence, (size_t)q->n_evidence, sizeof *q->evidence);
    q->evidence[q->n_evidence++] = (struct qa_evidence){doc, begin, end};
}

/* ---- SQuAD ------------------------------------------------------------------------------------- */

/* Byte of the n-th character of a UTF-8 text. */
static size_t byte_of(const char *text, int64_t n)
{
    size_t at = 0;
    for (; text[at] && n > 0; n--)
        do
            at++;
        while (((unsigned char)text[at] & 0xC0) == 0x80);
    return at;
}

static int read_squad_question(struct reader *d, const struct json *qa, int doc)
{
    const char *text = text_of(d, qa, "question"), *paragraph = d->raw[doc];
    if (!text)
        return -1;
    if (json_bool(json_get(qa, "is_impossible"), 0))
        return 0;
    const struct json *answers = list_of(d, qa, "answers");
    if (!answers)
        return -1;
    struct qa_question *q = add_question(d, text, json_get(qa, "id"));
    q->article = d->r->n_article - 1;
    q->own = mem_new(1, sizeof *q->own);
    q->own[q->n_own++] = doc;
    for (const struct json *a = json_first(answers); a; a = json_next(a)) {
        const char *answer = text_of(d, a, "text"), *found = NULL;
        int64_t start;
        if (!answer)
            return -1;
        add_answer(q, answer);
        if (json_int64(json_get(a, "answer_start"), &start) == 0 && start >= 0)
            found = paragraph + byte_of(paragraph, start);
        if (!found || strncmp(found, answer, strlen(answer)) != 0)
            found = strstr(paragraph, answer);
        if (found)
            add_evidence(q, doc, (size_t)(found - paragraph), (size_t)(found - paragraph) + strlen(answer));
    }
    return q->n_answer ? 0 : bad(d, "answers", "is empty, and is_impossible not true");
}

static int read_squad_paragraph(struct reader *d, const struct json *p)
{
    const char *context = text_of(d, p, "context");
    const struct json *qas = context ? list_of(d, p, "qas") : NULL;
    int i = 0;
    if (!qas)
        return -1;
    int doc = add_document(d, mem_strdup(context));
    struct qa_article *a = &d->r->article[d->r->n_article - 1];
    a->doc[a->n++] = doc;
    size_t before = d->at.n;
    for (const struct json *q = json_first(qas); q; q = json_next(q), i++) {
        d->at.n = before;
        str_addf(&d->at, ".qas[%d]", i);
        if (read_squad_question(d, q, doc))
            return -1;
    }
    return 0;
}

static int read_squad(struct reader *d, const struct json *root)
{
    struct qa_records *r = d->r;
    const struct json *data = list_of(d, root, "data");
    int i = 0;
    if (!data)
        return -1;
    for (const struct json *a = json_first(data); a; a = json_next(a), i++) {
        int j = 0;
        str_clear(&d->at);
        str_addf(&d->at, "data[%d]", i);
        const struct json *paragraphs = list_of(d, a, "paragraphs");
        if (!paragraphs)
            return -1;
        mem_grow(&r->article, &d->cap_article, (size_t)r->n_article + 1, sizeof *r->article);
        r->article[r->n_article++] = (struct qa_article){mem_new((size_t)json_size(paragraphs) + 1, sizeof(int)), 0};
        for (const struct json *p = json_first(paragraphs); p; p = json_next(p), j++) {
            str_clear(&d->at);
            str_addf(&d->at, "data[%d].paragraphs[%d]", i, j);
            if (read_squad_paragraph(d, p))
                return -1;
        }
    }
    return 0;
}

/* ---- HotpotQA ---------------------------------------------------------------------------------- */

/* A pair [first, second] of a list, as titles with sentences and with numbers of sentences are. */
static const struct json *second_of(const struct json *pair, const char **title)
{
    const struct json *first = json_is_array(pair) ? json_first(pair) : NULL;
    *title = json_string(first);
    return *title ? json_next(first) : NULL;
}

/* "title\nsentences", as RULER writes it. NULL when a sentence is no text, or there is no list of them. */
static char *document_of(const char *title, const struct json *sentences)
{
    struct str text = {0};
    str_add(&text, title);
    str_addc(&text, '\n');
    for (const struct json *s = json_is_array(sentences) ? json_first(sentences) : NULL; s; s = json_next(s)) {
        if (!json_is_string(s)) {
            str_free(&text);
            return NULL;
        }
        str_add(&text, json_string(s));
    }
    if (!json_is_array(sentences))
        str_free(&text);
    return text.n ? str_take(&text) : NULL;
}

/* The sentence of one supporting fact, without the blank before it. Facts that point nowhere are passed over: HotpotQA
 * has some. */
static void add_fact(struct qa_question *q, const struct json *context, const struct json *fact)
{
    const char *wanted, *title;
    const struct json *number = second_of(fact, &wanted);
    int64_t index;
    int i = 0;
    if (!number || json_int64(number, &index))
        return;
    for (const struct json *c = json_first(context); c; c = json_next(c), i++) {
        const struct json *sentences = second_of(c, &title), *s = json_first(sentences);
        size_t at = strlen(title) + 1;
        if (strcmp(title, wanted) != 0)
            continue;
        for (int64_t k = 0; s && k < index; k++, s = json_next(s))
            at += strlen(json_string(s));
        if (!s || index < 0)
            continue;
        const char *text = json_string(s);
        size_t blanks = strspn(text, " ");
        if (text[blanks])
            add_evidence(q, q->own[i], at + blanks, at + strlen(text));
        return;
    }
}

static int read_hotpot_record(struct reader *d, const struct json *record)
{
    const char *question = text_of(d, record, "question"), *answer = question ? text_of(d, record, "answer") : NULL;
    const struct json *context = answer ? list_of(d, record, "context") : NULL,
                      *facts = json_get(record, "supporting_facts");
    if (!context)
        return -1;
    if (json_size(context) == 0)
        return bad(d, "context", "is empty");
    struct qa_question *q = add_question(d, question, json_get(record, "_id"));
    add_answer(q, answer);
    q->own = mem_new((size_t)json_size(context), sizeof *q->own);
    for (const struct json *c = json_first(context); c; c = json_next(c)) {
        const char *title;
        const struct json *sentences = second_of(c, &title);
        char *text = sentences ? document_of(title, sentences) : NULL;
        if (!text)
            return bad(d, "context", "holds something that is no pair of a title and a list of sentences");
        q->own[q->n_own++] = add_document(d, text);
    }
    for (const struct json *f = json_is_array(facts) ? json_first(facts) : NULL; f; f = json_next(f))
        add_fact(q, context, f);
    int no_facts = q->n_evidence == 0;
    for (int i = 0; no_facts && i < q->n_own; i++) /* then wherever the answer stands */
        for (const char *text = d->raw[q->own[i]], *p = text; (p = strstr(p, answer)); p++)
            add_evidence(q, q->own[i], (size_t)(p - text), (size_t)(p - text) + strlen(answer));
    return 0;
}

static int read_hotpot(struct reader *d, const struct json *root)
{
    int i = 0;
    if (!json_is_array(root))
        return err_set(d->e, ERR_FORMAT, "%s: expected a list of records, as HotpotQA's files are", d->path);
    for (const struct json *r = json_first(root); r; r = json_next(r), i++) {
        str_clear(&d->at);
        str_addf(&d->at, "[%d]", i);
        if (read_hotpot_record(d, r))
            return -1;
    }
    return 0;
}

/* ---- all of it --------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return strcmp(**(char *const *const *)a, **(char *const *const *)b);
}

/* Makes one document of equal ones, in alphabetical order, and lets everything refer to them. */
static void merge(struct reader *d)
{
    struct qa_records *r = d->r;
    char ***order = mem_new(d->n_raw + 1, sizeof *order);
    int *number = mem_new(d->n_raw + 1, sizeof *number);
    for (size_t i = 0; i < d->n_raw; i++)
        order[i] = &d->raw[i];
    qsort(order, d->n_raw, sizeof *order, by_text);
    r->doc = mem_new(d->n_raw + 1, sizeof *r->doc);
    for (size_t i = 0; i < d->n_raw; i++) {
        if (i == 0 || strcmp(r->doc[r->n_doc - 1], *order[i]) != 0) {
            r->doc[r->n_doc++] = *order[i];
            *order[i] = NULL; /* taken over */
        }
        number[order[i] - d->raw] = r->n_doc - 1;
    }
    for (int i = 0; i < r->n_question; i++) {
        struct qa_question *q = &r->question[i];
        for (int k = 0; k < q->n_own; k++)
            q->own[k] = number[q->own[k]];
        for (int k = 0; k < q->n_evidence; k++)
            q->evidence[k].doc = number[q->evidence[k].doc];
    }
    for (int i = 0; i < r->n_article; i++)
        for (int k = 0; k < r->article[i].n; k++)
            r->article[i].doc[k] = number[r->article[i].doc[k]];
    mem_free(order);
    mem_free(number);
}

int qa_records_read(struct qa_records *r, enum qa_form form, const char *path, struct err *e)
{
    size_t n;
    struct reader d = {.r = r, .path = path, .e = e};
    *r = (struct qa_records){0};
    char *text = fs_read(path, &n, e);
    struct json *root = text ? json_parse(path, text, n, e) : NULL;
    int rc = !root ? -1 : form == QA_SQUAD ? read_squad(&d, root) : read_hotpot(&d, root);
    if (rc == 0 && r->n_question == 0)
        rc = err_set(e, ERR_FORMAT, "%s: no question that has an answer", path);
    merge(&d);
    for (size_t i = 0; i < d.n_raw; i++)
        mem_free(d.raw[i]);
    mem_free(d.raw);
    str_free(&d.at);
    json_free(root);
    mem_free(text);
    if (rc)
        qa_records_fini(r);
    return rc;
}

void qa_records_fini(struct qa_records *r)
{
    for (int i = 0; i < r->n_question; i++) {
        struct qa_question *q = &r->question[i];
        for (int k = 0; k < q->n_answer; k++)
            mem_free(q->answer[k]);
        mem_free(q->answer);
        mem_free(q->evidence);
        mem_free(q->own);
        mem_free(q->id);
        mem_free(q->text);
    }
    for (int i = 0; i < r->n_doc; i++)
        mem_free(r->doc[i]);
    for (int i = 0; i < r->n_article; i++)
        mem_free(r->article[i].doc);
    mem_free(r->question);
    mem_free(r->doc);
    mem_free(r->article);
    *r = (struct qa_records){0};
}
