#include "harness/rows/plan.h"

#include <string.h>
#include <uthash.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/experiment/axes.h"
#include "harness/rows/build_id.h"
#include "harness/rows/record.h"
#include "harness/rows/rowkey.h"

enum { SCHEMA = 1 };

struct plan_cell {
    char id[HASH_HEX], key[HASH_HEX]; /* key "": not known yet */
    int data, order;
    long place; /* of its first row, where plan_rows has counted */
    UT_hash_handle hh;
};

/* One (data, sample, question); several where ids of one sample are not unique. */
struct plan_question {
    char *name; /* "data sample question" */
    int data, sample;
    const char *id; /* in name */
    char sha256[HASH_HEX];
    int number; /* among those of its data */
    struct plan_question *next;
    UT_hash_handle hh;
};

/* What cells that have the same prompts share; a file may give it any number. */
struct plan_data {
    int data, n; /* questions */
    int taken;   /* plan_complete takes them over */
    UT_hash_handle hh;
};

struct plan {
    struct plan_data *data;
    const struct experiment *x; /* while a run makes it */
    char engine[BUILD_ID_SHORT];
    struct plan_cell *cell;
    struct plan_question *question;
};

/* Of the cells that see the same prompts the first one stands for all. */
static int data_of(const struct experiment *x, const struct cell *of)
{
    int c = 0;
    while (!axes_same_prompts(&x->cell[c], of))
        c++;
    return c;
}

static struct plan_cell *add_cell(struct plan *p, const char *id, int data)
{
    struct plan_cell *c;
    HASH_FIND_STR(p->cell, id, c);
    if (c)
        return c;
    c = mem_new(1, sizeof *c);
    memcpy(c->id, id, strlen(id) + 1);
    c->data = data;
    c->order = (int)HASH_COUNT(p->cell);
    HASH_ADD_STR(p->cell, id, c);
    return c;
}

static struct plan_data *data_at(struct plan *p, int data)
{
    struct plan_data *d;
    HASH_FIND_INT(p->data, &data, d);
    if (d)
        return d;
    d = mem_new(1, sizeof *d);
    d->data = data;
    HASH_ADD_INT(p->data, data, d);
    return d;
}

static void question_name(int data, int sample, const char *id, struct str *out)
{
    str_addf(out, "%d %d %s", data, sample, id);
}

static void add_question(struct plan *p, int data, int sample, const char *id, const char *sha256)
{
    struct str name = {0};
    struct plan_question *first, *q;
    question_name(data, sample, id, &name);
    HASH_FIND_STR(p->question, name.p, first);
    for (q = first; q; q = q->next)
        if (strcmp(q->sha256, sha256) == 0)
            break;
    if (!q) {
        q = mem_new(1, sizeof *q);
        q->data = data;
        q->sample = sample;
        q->number = data_at(p, data)->n++;
        memcpy(q->sha256, sha256, HASH_HEX);
        q->name = str_take(&name);
        q->id = q->name + strlen(q->name) - strlen(id);
        if (first) {
            q->next = first->next;
            first->next = q;
        } else {
            HASH_ADD_KEYPTR(hh, p->question, q->name, strlen(q->name), q);
        }
    }
    str_free(&name);
}

struct plan *plan_create(const struct experiment *x, const char *engine)
{
    struct plan *p = mem_new(1, sizeof *p);
    p->x = x;
    memcpy(p->engine, engine, BUILD_ID_SHORT - 1);
    for (int c = 0; c < x->n_cell; c++)
        add_cell(p, x->cell[c].id, data_of(x, &x->cell[c]));
    return p;
}

void plan_add_cell(struct plan *p, const struct cell *c, const char *key)
{
    memcpy(add_cell(p, c->id, 0)->key, key, HASH_HEX);
}

void plan_add_question(struct plan *p, const struct cell *of, int sample, const char *question, const char *sha256)
{
    add_question(p, data_of(p->x, of), sample, question, sha256);
}

int plan_write(const struct plan *p, const char *dir, struct err *e)
{
    struct str s = {0};
    char *path = fs_join(dir, "plan.jsonl");
    str_addf(&s, "{\"schema\":%d,\"engine\":\"%s\"}\n", SCHEMA, p->engine);
    for (const struct plan_cell *c = p->cell; c; c = c->hh.next) {
        const char *quote = c->key[0] ? "\"" : "";
        str_addf(&s, "{\"cell\":\"%s\",\"key\":%s%s%s,\"data\":%d}\n", c->id, quote, c->key[0] ? c->key : "null", quote,
                 c->data);
    }
    for (const struct plan_question *first = p->question; first; first = first->hh.next)
        for (const struct plan_question *q = first; q; q = q->next) {
            str_addf(&s, "{\"data\":%d,\"sample\":%d,\"question\":", q->data, q->sample);
            str_add_json(&s, q->id, strlen(q->id));
            str_addf(&s, ",\"sha256\":\"%s\"}\n", q->sha256);
        }
    int rc = fs_write_atomic(path, s.p, s.n, e);
    str_free(&s);
    mem_free(path);
    return rc;
}

static int is_hex(const char *s, size_t n)
{
    return s && strlen(s) == n && strspn(s, "0123456789abcdef") == n;
}

static int whole(const struct json *line, const char *key, int *out)
{
    int64_t v;
    if (json_int64(json_get(line, key), &v) || v < 0 || v > 1000000000)
        return -1;
    *out = (int)v;
    return 0;
}

/* NULL, or what is wrong with the line. */
static const char *read_line(struct plan *p, const struct json *line, int number)
{
    int data = 0, sample = 0, schema = 0;
    const char *cell = json_string(json_get(line, "cell")), *question = json_string(json_get(line, "question")),
               *sha256 = json_string(json_get(line, "sha256")), *engine = json_string(json_get(line, "engine"));
    const struct json *key = json_get(line, "key");
    if (number == 1) {
        if (whole(line, "schema", &schema) || schema != SCHEMA)
            return "field 'schema': expected 1";
        if (!is_hex(engine, BUILD_ID_SHORT - 1))
            return "field 'engine': expected 16 hexadecimal digits";
        memcpy(p->engine, engine, BUILD_ID_SHORT);
        return NULL;
    }
    if (whole(line, "data", &data))
        return "field 'data': expected a whole number";
    if (cell) {
        struct plan_cell *c;
        if (strlen(cell) >= HASH_HEX)
            return "field 'cell': expected the id of a cell";
        if (!json_is_null(key) && !is_hex(json_string(key), HASH_HEX - 1))
            return "field 'key': expected 64 hexadecimal digits or null";
        HASH_FIND_STR(p->cell, cell, c);
        if (c)
            return "field 'cell': a cell that has a line already";
        c = add_cell(p, cell, data);
        if (json_string(key))
            memcpy(c->key, json_string(key), HASH_HEX);
        return NULL;
    }
    if (!question || whole(line, "sample", &sample) || !is_hex(sha256, HASH_HEX - 1))
        return "expected a cell, or a question with its sample and sha256";
    add_question(p, data, sample, question, sha256);
    return NULL;
}

static int read_lines(struct plan *p, const char *path, const char *text, size_t n, struct err *e)
{
    int number = 0;
    for (size_t at = 0; at < n;) {
        const char *end = memchr(text + at, '\n', n - at);
        size_t length = end ? (size_t)(end - text) - at : n - at;
        struct json *line = json_parse(path, text + at, length, NULL);
        number++;
        const char *why = line && json_is_object(line) ? read_line(p, line, number) : "not valid JSON";
        json_free(line);
        if (why)
            return err_set(e, ERR_FORMAT, "%s:%d: %s; run the experiment again to have it rewritten", path, number,
                           why);
        at += length + 1;
    }
    return number ? 0 : err_set(e, ERR_FORMAT, "%s: empty; run the experiment again to have it rewritten", path);
}

int plan_is_there(const char *dir)
{
    char *path = fs_join(dir, "plan.jsonl");
    int there = fs_exists(path);
    mem_free(path);
    return there;
}

int plan_read(const char *dir, struct plan **out, struct err *e)
{
    size_t n = 0;
    int rc = 0;
    char *path = fs_join(dir, "plan.jsonl"), *text = NULL;
    *out = NULL;
    if (fs_exists(path)) {
        *out = mem_new(1, sizeof **out);
        text = fs_read(path, &n, e);
        rc = text ? read_lines(*out, path, text, n, e) : -1;
    }
    if (rc) {
        plan_destroy(*out);
        *out = NULL;
    }
    mem_free(text);
    mem_free(path);
    return rc;
}

int plan_complete(struct plan *p, const char *dir, struct err *e)
{
    struct plan *old;
    if (plan_read(dir, &old, e))
        return -1;
    int same = old && strcmp(old->engine, p->engine) == 0 && HASH_COUNT(old->cell) == HASH_COUNT(p->cell);
    for (struct plan_cell *c = same ? p->cell : NULL, *its; c; c = c->hh.next) {
        HASH_FIND_STR(old->cell, c->id, its);
        same &= its && its->data == c->data;
    }
    for (struct plan_cell *c = same ? p->cell : NULL, *its; c; c = c->hh.next) {
        HASH_FIND_STR(old->cell, c->id, its);
        if (c->key[0] || !its->key[0])
            continue;
        memcpy(c->key, its->key, HASH_HEX);
        data_at(old, c->data)->taken = 1;
    }
    for (const struct plan_question *first = same ? old->question : NULL; first; first = first->hh.next)
        for (const struct plan_question *q = first; q && data_at(old, q->data)->taken; q = q->next)
            add_question(p, q->data, q->sample, q->id, q->sha256);
    plan_destroy(old);
    return 0;
}

static const struct plan_question *find_question(const struct plan *p, int data, const struct json *row)
{
    struct str name = {0};
    struct plan_question *q = NULL;
    int sample;
    const char *id = json_string(json_get(row, "question_id"));
    if (id && whole(row, "sample", &sample) == 0) {
        question_name(data, sample, id, &name);
        HASH_FIND_STR(p->question, name.p, q);
        str_free(&name);
    }
    return q;
}

/* Says where a row of a known cell and question differs, as far as the row tells. */
static enum plan_verdict difference(const struct plan *p, const struct plan_question *q, const struct json *row)
{
    const char *engine = json_string(json_get(row, "engine")), *data = json_string(json_get(row, "data"));
    if (!engine || strcmp(engine, p->engine) != 0)
        return PLAN_BUILD;
    for (; q && data; q = q->next)
        if (strncmp(data, q->sha256, strlen(data)) == 0)
            return PLAN_INPUTS;
    return PLAN_DATA;
}

/* 1 when a row's key is that of the cell and the question. */
static int is_its(const struct plan_cell *c, const struct plan_question *q, const struct json *row)
{
    char key[HASH_HEX];
    const char *its = json_string(json_get(row, "key"));
    rowkey_join(c->key, q->sha256, key);
    return its && strcmp(key, its) == 0;
}

enum plan_verdict plan_judge(const struct plan *p, const struct json *row)
{
    struct plan_cell *c = NULL;
    int schema;
    const char *cell = json_string(json_get(row, "cell"));
    if (whole(row, "schema", &schema) || schema != RECORD_SCHEMA)
        return PLAN_SCHEMA;
    if (cell)
        HASH_FIND_STR(p->cell, cell, c);
    if (!c)
        return PLAN_CELL;
    if (!c->key[0])
        return PLAN_PENDING;
    const struct plan_question *q = find_question(p, c->data, row);
    if (!q)
        return PLAN_SAMPLE;
    for (const struct plan_question *i = q; i; i = i->next)
        if (is_its(c, i, row))
            return PLAN_BELONGS;
    return difference(p, q, row);
}

long plan_rows(struct plan *p, int *pending)
{
    long n = 0;
    *pending = 0;
    for (struct plan_cell *c = p->cell; c; c = c->hh.next) {
        c->place = n;
        *pending += !c->key[0];
        n += c->key[0] ? data_at(p, c->data)->n : 0;
    }
    return n;
}

long plan_place(const struct plan *p, const struct json *row)
{
    const struct plan_question *q;
    struct plan_cell *c;
    if (plan_judge(p, row) != PLAN_BELONGS)
        return -1;
    HASH_FIND_STR(p->cell, json_string(json_get(row, "cell")), c);
    q = find_question(p, c->data, row);
    while (q && !is_its(c, q, row))
        q = q->next;
    return q ? c->place + q->number : -1;
}

int plan_order(const struct plan *p, const char *cell)
{
    struct plan_cell *c;
    HASH_FIND_STR(p->cell, cell, c);
    return c ? c->order : -1;
}

void plan_tell(const int count[PLAN_N_VERDICT], int gone, struct str *out)
{
    static const char *const why[PLAN_N_VERDICT] = {
        [PLAN_SAMPLE] = "of samples or questions that the experiment no longer has",
        [PLAN_DATA] = "of other texts or answers under the same sample and question",
        [PLAN_BUILD] = "by another build, processor or library (engines in manifest.json)",
        [PLAN_INPUTS] =
            "of another model, tokenizer or profile, other measures, or other sources of the policy or layer budget",
        [PLAN_PENDING] = "of a model that the stopped run had not come to",
        [PLAN_SCHEMA] = "in the form of another version",
    };
    int told = 0;
    for (int v = PLAN_BELONGS + 1; v < PLAN_N_VERDICT; v++) {
        if (!count[v])
            continue;
        str_addf(out, "%s%d row%s ", told++ ? ", " : "", count[v], count[v] == 1 ? "" : "s");
        if (v == PLAN_CELL)
            str_addf(out, "of %d cell%s that the experiment no longer has", gone, gone == 1 ? "" : "s");
        else
            str_add(out, why[v]);
    }
}

void plan_destroy(struct plan *p)
{
    struct plan_cell *c, *next_cell;
    struct plan_question *q, *next_question;
    struct plan_data *d, *next_data;
    if (!p)
        return;
    HASH_ITER(hh, p->cell, c, next_cell)
    {
        HASH_DEL(p->cell, c);
        mem_free(c);
    }
    HASH_ITER(hh, p->question, q, next_question)
    {
        HASH_DEL(p->question, q);
        for (struct plan_question *k = q, *after; k; k = after) {
            after = k->next;
            mem_free(k->name);
            mem_free(k);
        }
    }
    HASH_ITER(hh, p->data, d, next_data)
    {
        HASH_DEL(p->data, d);
        mem_free(d);
    }
    mem_free(p);
}
