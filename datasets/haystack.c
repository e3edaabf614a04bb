#include "datasets/haystack.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"

enum { MAX_BOOKS = 1000 };

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_folded(struct str *s, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        int blank = c == ' ' || c == '\n' || c == '\t' || c == '\r';
        if (!blank)
            str_addc(s, c);
        else if (s->n && s->p[s->n - 1] != ' ')
            str_addc(s, ' ');
    }
}

/* A sentence ends after . ! or ? (and a closing quote or bracket), where a blank follows. */
static void cut(struct haystack *h)
{
    size_t last = 0;
    for (size_t i = 0; i + 1 < h->n; i++) {
        size_t end = i + 1;
        if (!strchr(".!?", h->text[i]))
            continue;
        while (end < h->n && strchr("\"')]", h->text[end]) && h->text[end])
            end++;
        if (end >= h->n || h->text[end] != ' ' || end - last < 20) /* "Mr." is no sentence */
            continue;
        mem_grow(&h->begin, &h->cap, (size_t)h->n_sentence + 3, sizeof *h->begin);
        h->begin[h->n_sentence++] = last;
        last = end + 1;
    }
    mem_grow(&h->begin, &h->cap, (size_t)h->n_sentence + 3, sizeof *h->begin);
    if (last < h->n)
        h->begin[h->n_sentence++] = last;
    h->begin[h->n_sentence] = h->n;
}

static int finish(struct haystack *h, struct str *text, const char *where, struct err *e)
{
    h->n = text->n;
    h->text = str_take(text);
    cut(h);
    if (h->n_sentence < 1)
        return err_set(e, ERR_IO, "%s: no text", where);
    return 0;
}

int haystack_open_file(struct haystack *h, const char *path, struct err *e)
{
    size_t n;
    struct str text = {0};
    char *raw = fs_read(path, &n, e);
    *h = (struct haystack){0};
    if (!raw)
        return -1;
    add_folded(&text, raw, n);
    mem_free(raw);
    if (finish(h, &text, path, e)) {
        haystack_close(h);
        return -1;
    }
    return 0;
}

int haystack_open(struct haystack *h, const char *data_dir, struct err *e)
{
    char *name[MAX_BOOKS];
    int n_name = 0, rc = -1;
    struct str text = {0};
    *h = (struct haystack){0};
    DIR *d = opendir(data_dir);
    if (!d)
        return err_set(e, ERR_IO, "%s: %s (the books of datasets/books; set DEPTHKV_DATA)", data_dir, strerror(errno));
    for (struct dirent *f; (f = readdir(d)) && n_name < MAX_BOOKS;) {
        size_t n = strlen(f->d_name);
        if (n > 4 && strcmp(f->d_name + n - 4, ".txt") == 0)
            name[n_name++] = fs_join(data_dir, f->d_name);
    }
    closedir(d);
    qsort(name, (size_t)n_name, sizeof *name, by_name);
    for (int i = 0; i < n_name; i++) {
        size_t n;
        char *raw = fs_read(name[i], &n, e);
        if (!raw)
            goto out;
        add_folded(&text, raw, n);
        if (text.n && text.p[text.n - 1] != ' ')
            str_addc(&text, ' ');
        mem_free(raw);
    }
    rc = finish(h, &text, data_dir, e);
out:
    for (int i = 0; i < n_name; i++)
        mem_free(name[i]);
    str_free(&text);
    if (rc)
        haystack_close(h);
    return rc;
}

void haystack_close(struct haystack *h)
{
    mem_free(h->text);
    mem_free(h->begin);
    *h = (struct haystack){0};
}

void haystack_sentence(const struct haystack *h, long i, struct str *out)
{
    size_t s = (size_t)(i % h->n_sentence), begin = h->begin[s], end = h->begin[s + 1];
    while (end > begin && h->text[end - 1] == ' ')
        end--;
    str_addn(out, h->text + begin, end - begin);
}
