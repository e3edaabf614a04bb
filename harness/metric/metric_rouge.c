/* ROUGE-N and ROUGE-L as the package rouge-score computes them with use_stemmer=False: tokens are the runs of
 * [a-z0-9] in the lower-cased text, scores are F = 2PR / (P + R). */
#include <stdlib.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/unicode.h"
#include "harness/metric/metric_int.h"

struct words {
    char *text; /* lower case; a NUL after every word */
    char **word;
    int n;
};

static int is_token(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static struct words tokenize(const char *text)
{
    struct words w = {.text = unicode_lower(text)};
    w.word = mem_new(strlen(w.text) / 2 + 1, sizeof *w.word);
    for (char *p = w.text; *p;) {
        if (!is_token(*p)) {
            p++;
            continue;
        }
        w.word[w.n++] = p;
        while (is_token(*p))
            p++;
        if (*p)
            *p++ = '\0';
    }
    return w;
}

static void words_free(struct words *w)
{
    mem_free(w->text);
    mem_free(w->word);
}

static double f_measure(int common, int n_output, int n_answer)
{
    if (common == 0)
        return 0;
    double p = (double)common / n_output, r = (double)common / n_answer;
    return 2 * p * r / (p + r);
}

struct gram {
    char **at; /* first of its words */
    int n;
};

static int by_words(const void *a, const void *b)
{
    const struct gram *x = a, *y = b;
    int order = 0;
    for (int i = 0; i < x->n && order == 0; i++)
        order = strcmp(x->at[i], y->at[i]);
    return order;
}

static struct gram *sorted_grams(const struct words *w, int n, int *count)
{
    *count = w->n >= n ? w->n - n + 1 : 0;
    struct gram *g = mem_new((size_t)*count + 1, sizeof *g);
    for (int i = 0; i < *count; i++)
        g[i] = (struct gram){w->word + i, n};
    qsort(g, (size_t)*count, sizeof *g, by_words);
    return g;
}

double metric_rouge_n(const char *output, const char *answer, int n)
{
    struct words o = tokenize(output), a = tokenize(answer);
    int n_output, n_answer, common = 0;
    struct gram *x = sorted_grams(&o, n, &n_output), *y = sorted_grams(&a, n, &n_answer);
    for (int i = 0, j = 0; i < n_output && j < n_answer;) {
        int order = by_words(&x[i], &y[j]);
        common += order == 0;
        i += order <= 0;
        j += order >= 0;
    }
    mem_free(x);
    mem_free(y);
    words_free(&o);
    words_free(&a);
    return f_measure(common, n_output, n_answer);
}

double metric_rouge_l(const char *output, const char *answer)
{
    struct words o = tokenize(output), a = tokenize(answer);
    int *row = mem_new((size_t)a.n + 1, sizeof *row); /* row[j]: longest common of o[0..i) and a[0..j) */
    for (int i = 0; i < o.n; i++) {
        int diagonal = 0;
        for (int j = 1; j <= a.n; j++) {
            int above = row[j];
            if (strcmp(o.word[i], a.word[j - 1]) == 0)
                row[j] = diagonal + 1;
            else if (row[j - 1] > row[j])
                row[j] = row[j - 1];
            diagonal = above;
        }
    }
    double f = f_measure(row[a.n], o.n, a.n);
    mem_free(row);
    words_free(&o);
    words_free(&a);
    return f;
}
