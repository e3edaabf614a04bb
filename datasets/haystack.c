#include "datasets/haystack.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void haystack_free_files(char **file, int n)
{
    for (int i = 0; file && i < n; i++)
        mem_free(file[i]);
    mem_free(file);
}

char **haystack_files(const char *path, int *n, struct err *e)
{
    char **file = NULL;
    size_t cap = 0;
    *n = 0;
    if (!fs_is_dir(path)) {
        file = mem_new(1, sizeof *file);
        file[(*n)++] = mem_strdup(path);
        return file;
    }
    DIR *d = opendir(path);
    if (!d) {
        err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
        return NULL;
    }
    for (struct dirent *f; (f = readdir(d));) {
        size_t length = strlen(f->d_name);
        if (length <= 4 || strcmp(f->d_name + length - 4, ".txt") != 0)
            continue;
        mem_grow(&file, &cap, (size_t)*n + 1, sizeof *file);
        file[(*n)++] = fs_join(path, f->d_name);
    }
    closedir(d);
    if (*n == 0)
        err_set(e, ERR_IO, "%s: no .txt file", path);
    else
        qsort(file, (size_t)*n, sizeof *file, by_name);
    return file;
}

static int blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\0';
}

static void add_folded(struct str *s, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!blank(text[i]))
            str_addc(s, text[i]);
        else if (s->n && s->p[s->n - 1] != ' ')
            str_addc(s, ' ');
}

/* Whether the word before the full stop at text[dot] is one that a full stop belongs to: a title or an initial. */
static int abbreviation(const char *text, size_t first, size_t dot)
{
    static const char *const known[] = {
        "Mr",   "Mrs", "Ms",  "Dr", "St",  "Messrs", "Hon", "Gen", "Col", "Capt", "Lieut", "Maj", "Gov", "Rev",
        "Prof", "Sen", "Jr",  "Sr", "Mme", "Mlle",   "No",  "Vol", "vol", "Chap", "chap",  "Fig", "fig", "Ch",
        "ch",   "cf",  "viz", "vs", "etc", "i.e",    "e.g", "Lt",  "Sgt", "Bro",  "pp",    "p",   "Ave"};
    size_t begin = dot;
    while (begin > first && text[begin - 1] != ' ' && !strchr("(\"'_[", text[begin - 1]))
        begin--;
    size_t n = dot - begin;
    if (n == 1 && text[begin] >= 'A' && text[begin] <= 'Z')
        return 1;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i]) == n && memcmp(known[i], text + begin, n) == 0)
            return 1;
    return 0;
}

static void add_unit(struct haystack *h, size_t begin)
{
    mem_grow(&h->begin, &h->cap, (size_t)h->n_unit + 2, sizeof *h->begin);
    h->begin[h->n_unit++] = begin;
}

/* A sentence ends after . ! or ? and closing quotes or brackets, where a blank follows and no small letter after it. */
static void cut(struct haystack *h)
{
    size_t last = 0;
    for (size_t i = 0; i + 1 < h->n; i++) {
        size_t end = i + 1;
        if (!strchr(".!?", h->text[i]))
            continue;
        while (end < h->n && strchr("\"')]_*", h->text[end]))
            end++;
        if (end + 1 >= h->n || h->text[end] != ' ' || (h->text[end + 1] >= 'a' && h->text[end + 1] <= 'z'))
            continue;
        if (h->text[i] == '.' && abbreviation(h->text, last, i))
            continue;
        add_unit(h, last);
        last = end + 1;
    }
    if (last < h->n)
        add_unit(h, last);
    if (h->n_unit)
        h->begin[h->n_unit] = h->n;
}

int haystack_open(struct haystack *h, const char *path, struct err *e)
{
    int n_file = 0, rc = -1;
    struct str text = {0};
    *h = (struct haystack){.join = ' '};
    char **file = haystack_files(path, &n_file, e);
    for (int i = 0; i < n_file; i++) {
        size_t n;
        char *raw = fs_read(file[i], &n, e);
        if (!raw)
            goto out;
        add_folded(&text, raw, n);
        if (text.n && text.p[text.n - 1] != ' ')
            str_addc(&text, ' ');
        mem_free(raw);
    }
    if (n_file == 0)
        goto out;
    if (text.n <= 1) {
        err_set(e, ERR_IO, "%s: no text", path);
        goto out;
    }
    h->n = text.n;
    h->text = str_take(&text);
    cut(h);
    rc = 0;
out:
    haystack_free_files(file, n_file);
    str_free(&text);
    return rc;
}

const char *const haystack_types[] = {"noise", "essay", "needle", NULL};
const char *const haystack_plain_types[] = {"noise", "essay", NULL};

int haystack_open_type(struct haystack *h, enum haystack_type type, const struct dataset_env *env, struct err *e)
{
    static const char *const noise[] = {
        "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."};
    if (type == HAYSTACK_ESSAY)
        return haystack_open(h, env->data_dir, e)
                   ? err_wrap(e, "the books of the haystack (DEPTHKV_DATA names their folder)")
                   : 0;
    if (type == HAYSTACK_NOISE)
        haystack_open_stock(h, noise, 1, '\n');
    else
        *h = (struct haystack){.join = '\n', .whole = 1};
    return 0;
}

void haystack_open_stock(struct haystack *h, const char *const *unit, int n, char join)
{
    *h = (struct haystack){.join = join};
    for (int i = 0; i < n; i++)
        haystack_add(h, unit[i], strlen(unit[i]));
}

void haystack_add(struct haystack *h, const char *unit, size_t n)
{
    add_unit(h, h->n);
    mem_grow(&h->text, &h->text_cap, h->n + n + 2, 1);
    memcpy(h->text + h->n, unit, n);
    h->n += n;
    h->text[h->n++] = h->join;
    h->text[h->n] = '\0';
    h->begin[h->n_unit] = h->n;
}

void haystack_close(struct haystack *h)
{
    mem_free(h->text);
    mem_free(h->begin);
    *h = (struct haystack){0};
}

/* Bytes of the first `letters` UTF-8 characters of text[0, n), or n when there are not that many. */
static size_t letters_end(const char *text, size_t n, int letters)
{
    size_t at = 0;
    for (; at < n && letters > 0; letters--)
        do
            at++;
        while (at < n && ((unsigned char)text[at] & 0xC0) == 0x80);
    return at;
}

/* Appends the first words of a unit, and some letters of the one after them; *words counts what was taken before. */
static void add_words(const char *text, size_t n, struct fit_size size, long *words, struct str *out)
{
    size_t before = out->n;
    for (size_t at = 0; at < n && *words <= size.words; (*words)++) {
        const char *word = text + at, *space = memchr(word, ' ', n - at);
        size_t length = space ? (size_t)(space - word) : n - at;
        size_t take = *words < size.words ? length : letters_end(word, length, size.letters);
        if (take && out->n > before)
            str_addc(out, ' ');
        str_addn(out, word, take);
        at += length + 1;
    }
}

/* Appends that much hay, units joined by nothing; mark[0, n) are their ends in `out`. */
static size_t *gather(const struct haystack *h, long start, struct fit_size size, struct str *out, int *n)
{
    size_t *mark = NULL, cap = 0;
    long words = 0, end_unit = h->whole ? start + size.words : LONG_MAX;
    *n = 0;
    for (long u = start; u <= end_unit && words <= size.words; u++) {
        size_t i = (size_t)(u % h->n_unit), at = h->begin[i], end = h->begin[i + 1], before = out->n;
        while (end > at && blank(h->text[end - 1]))
            end--;
        if (h->whole)
            str_addn(out, h->text + at, u < end_unit ? end - at : letters_end(h->text + at, end - at, size.letters));
        else
            add_words(h->text + at, end - at, size, &words, out);
        if (out->n == before)
            continue;
        mem_grow(&mark, &cap, (size_t)*n + 1, sizeof *mark);
        mark[(*n)++] = out->n;
    }
    return mark;
}

/* Before which of n units it stands. */
static int place(const struct haystack_needle *n, int n_unit)
{
    if (n->n_apart == 0)
        return (int)(n->depth * n_unit + 1e-9); /* 0.29 x 100 is 29, whatever doubles say */
    if (n_unit < n->n_apart)
        return (int)(n->depth * n_unit);
    return (int)(n->depth * (n_unit - n->n_apart + 1)) + n->apart;
}

static void add_needles(struct haystack_context *c, int before, int n_unit, struct str *out)
{
    for (int i = 0; i < c->n_needle; i++) {
        struct haystack_needle *n = &c->needle[i];
        if (place(n, n_unit) != before)
            continue;
        n->begin = out->n + n->answer;
        n->end = n->begin + n->n_answer;
        str_add(out, n->text);
        str_addc(out, c->hay->join);
    }
}

void haystack_build(void *ctx, struct fit_size size, struct str *out)
{
    struct haystack_context *c = ctx;
    struct str all = {0};
    size_t from = 0;
    int n_mark;
    size_t *mark = gather(c->hay, c->start, size, &all, &n_mark);
    str_add(out, c->head);
    for (int m = 0; m <= n_mark; m++) { /* before unit m; m == n_mark: after the last one */
        add_needles(c, m, n_mark, out);
        if (m < n_mark) {
            str_addn(out, all.p + from, mark[m] - from);
            str_addc(out, c->hay->join);
            from = mark[m];
        }
    }
    if (out->n && size.letters != FIT_BLANK)
        out->p[--out->n] = '\0'; /* the question brings its own beginning */
    str_free(&all);
    mem_free(mark);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void haystack_draw_depths(struct rng *r, enum haystack_type type, struct haystack_needle *needle, int n, int ascending)
{
    int percent[HAYSTACK_MAX_NEEDLE];
    double depth[HAYSTACK_MAX_NEEDLE], sorted[HAYSTACK_MAX_NEEDLE];
    const int steps = HAYSTACK_MAX_NEEDLE - 1;
    for (int i = 0; i < HAYSTACK_MAX_NEEDLE; i++)
        percent[i] = (200 * i + steps) / (2 * steps); /* 100 i / 39, rounded */
    if (type == HAYSTACK_ESSAY)
        rng_shuffle(r, percent, HAYSTACK_MAX_NEEDLE, sizeof *percent);
    for (int i = 0; i < n; i++)
        sorted[i] = depth[i] = type == HAYSTACK_ESSAY ? percent[i] / 100.0 : rng_double(r);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    for (int i = 0; i < n; i++) {
        needle[i].depth = ascending ? sorted[i] : depth[i];
        needle[i].apart = 0;
        while (needle[i].apart < n - 1 && sorted[needle[i].apart] < needle[i].depth)
            needle[i].apart++;
        needle[i].n_apart = type == HAYSTACK_ESSAY ? 0 : n;
    }
}
