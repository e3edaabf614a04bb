/* Metrics after LongBench's definitions (Bai et al. 2023, arXiv:2308.14508): F1, classification, edit similarity,
 * count and retrieval. Where the published code has a quirk that moves a score, the quirk is kept and said. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/unicode.h"
#include "harness/metric/metric_int.h"

static int is_punctuation(char c)
{
    return c && strchr("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", c) != NULL;
}

static int is_article(const char *word, size_t n)
{
    return (n == 1 && *word == 'a') || (n == 2 && memcmp(word, "an", 2) == 0) ||
           (n == 3 && memcmp(word, "the", 3) == 0);
}

/* SQuAD's normalisation: lower case, punctuation deleted, then a, an and the blanked wherever word boundaries
 * enclose them. White space is left to the split that follows. */
static char *normalize(const char *text)
{
    char *low = unicode_lower(text);
    char *end = low;
    for (const char *p = low; *p; p++)
        if (!is_punctuation(*p))
            *end++ = *p;
    *end = '\0';
    for (char *p = low; *p;) {
        int32_t c;
        size_t n = unicode_next(p, &c), run = 0;
        while (p[run] && unicode_is_word(c)) {
            run += n;
            n = unicode_next(p + run, &c);
        }
        if (run && is_article(p, run))
            memset(p, ' ', run);
        p += run ? run : n;
    }
    return low;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Cuts the text at white space into sorted words. */
static char **sorted_words(char *text, int *n)
{
    char **word = mem_new(strlen(text) / 2 + 1, sizeof *word);
    int inside = 0;
    *n = 0;
    for (char *p = text; *p;) {
        int32_t c;
        size_t step = unicode_next(p, &c);
        int space = unicode_is_space(c);
        if (!space && !inside)
            word[(*n)++] = p;
        if (space)
            memset(p, '\0', step);
        inside = !space;
        p += step;
    }
    qsort(word, (size_t)*n, sizeof *word, by_text);
    return word;
}

void metric_text_f1(const char *output, const char *answer, double out[3])
{
    char *text[2] = {normalize(output), normalize(answer)}, **word[2];
    int n[2], common = 0;
    for (int k = 0; k < 2; k++)
        word[k] = sorted_words(text[k], &n[k]);
    for (int i = 0, j = 0; i < n[0] && j < n[1];) {
        int order = strcmp(word[0][i], word[1][j]);
        common += order == 0;
        i += order <= 0;
        j += order >= 0;
    }
    out[0] = out[1] = out[2] = 0; /* no common word: 0, also when both sides are empty */
    if (common) {
        out[1] = (double)common / n[0];
        out[2] = (double)common / n[1];
        out[0] = 2 * out[1] * out[2] / (out[1] + out[2]);
    }
    for (int k = 0; k < 2; k++) {
        mem_free(text[k]);
        mem_free(word[k]);
    }
}

/* Classes found in the output, less those that are only a part of the right one's name. The published loop removes
 * from the list that it walks, and so passes over the class after a removed one; kept, because scores depend on it. */
double metric_text_classification(const struct metric_input *in, const char *answer)
{
    char **found = mem_new((size_t)in->n_class + 1, sizeof *found);
    int n = 0, hit = 0;
    for (int i = 0; i < in->n_class; i++)
        if (strstr(in->output, in->classes[i]))
            found[n++] = in->classes[i];
    for (int i = 0; i < n; i++) {
        if (!strstr(answer, found[i]) || strcmp(answer, found[i]) == 0)
            continue;
        int first = 0;
        while (strcmp(found[first], found[i]) != 0)
            first++;
        memmove(found + first, found + first + 1, (size_t)(n - first - 1) * sizeof *found);
        n--;
    }
    for (int i = 0; i < n; i++)
        hit |= strcmp(found[i], answer) == 0;
    mem_free(found);
    return hit ? 1.0 / n : 0;
}

/* Two strings as Python's difflib.SequenceMatcher sees them: matching runs of code points, the longest first, the
 * earliest among equals; in a second string of 200 or more, code points that make up over 1 % of it start no run. */
struct matcher {
    const int32_t *a, *b;
    unsigned char *popular; /* [length of b] */
    int *run, *next;        /* [length of b + 1]; entry j + 1: length of the run that ends at b[j] */
};

static int compare_points(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static void mark_popular(unsigned char *popular, const int32_t *b, size_t n)
{
    if (n < 200)
        return;
    int32_t *sorted = mem_new(n, sizeof *sorted);
    memcpy(sorted, b, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare_points);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i; end < n && sorted[end] == sorted[i];)
            end++;
        for (size_t j = 0; end - i > n / 100 + 1 && j < n; j++)
            if (b[j] == sorted[i])
                popular[j] = 1;
    }
    mem_free(sorted);
}

/* Longest run in a[alo..ahi) x b[blo..bhi): its length, and where it starts. */
static size_t longest(const struct matcher *m, size_t alo, size_t ahi, size_t blo, size_t bhi, size_t *at_a,
                      size_t *at_b)
{
    int *run = m->run, *next = m->next;
    size_t size = 0, i0 = alo, j0 = blo;
    memset(run + blo, 0, (bhi - blo + 1) * sizeof *run);
    next[blo] = 0;
    for (size_t i = alo; i < ahi; i++) {
        for (size_t j = blo; j < bhi; j++) {
            next[j + 1] = m->a[i] == m->b[j] && !m->popular[j] ? run[j] + 1 : 0;
            if ((size_t)next[j + 1] > size) {
                size = (size_t)next[j + 1];
                i0 = i + 1 - size;
                j0 = j + 1 - size;
            }
        }
        int *swap = run;
        run = next;
        next = swap;
        next[blo] = 0;
    }
    for (; i0 > alo && j0 > blo && m->a[i0 - 1] == m->b[j0 - 1]; i0--, j0--)
        size++;
    while (i0 + size < ahi && j0 + size < bhi && m->a[i0 + size] == m->b[j0 + size])
        size++;
    *at_a = i0;
    *at_b = j0;
    return size;
}

static size_t matched(const struct matcher *m, size_t alo, size_t ahi, size_t blo, size_t bhi)
{
    size_t sum = 0;
    while (alo < ahi && blo < bhi) {
        size_t i, j, k = longest(m, alo, ahi, blo, bhi, &i, &j);
        if (k == 0)
            break;
        sum += k + matched(m, alo, i, blo, j);
        alo = i + k;
        blo = j + k;
    }
    return sum;
}

/* fuzz.ratio of the package fuzzywuzzy on difflib: round(100 x 2 M / T), halves to even. */
static double fuzz_ratio(const char *output, const char *answer)
{
    size_t na, nb;
    if (strcmp(output, answer) == 0)
        return 100;
    int32_t *a = unicode_points(output, &na), *b = unicode_points(answer, &nb);
    struct matcher m = {.a = a,
                        .b = b,
                        .popular = mem_new(nb + 1, 1),
                        .run = mem_new(nb + 1, sizeof(int)),
                        .next = mem_new(nb + 1, sizeof(int))};
    mark_popular(m.popular, b, nb);
    double ratio = 2.0 * (double)matched(&m, 0, na, 0, nb) / (double)(na + nb);
    mem_free(a);
    mem_free(b);
    mem_free(m.popular);
    mem_free(m.run);
    mem_free(m.next);
    return nearbyint(100 * ratio);
}

double metric_text_edit_similarity(const char *output, const char *answer)
{
    char *text = mem_strdup(output), *line = NULL;
    char *p = text + strspn(text, "\n");
    for (char *end; !line && p; p = end) {
        end = strchr(p, '\n');
        if (end)
            *end++ = '\0';
        if (!strchr(p, '`') && !strchr(p, '#') && !strstr(p, "//"))
            line = p;
    }
    double s = fuzz_ratio(line ? line : "", answer) / 100;
    mem_free(text);
    return s;
}

/* The next run of digits at or after p: its begin and, in *end, its end; NULL when there is none. */
static const char *next_number(const char *p, const char **end)
{
    const char *begin = NULL;
    for (int32_t c; *p;) {
        size_t n = unicode_next(p, &c);
        int digit = unicode_is_digit(c);
        if (begin && !digit)
            break;
        if (digit && !begin)
            begin = p;
        p += n;
    }
    *end = p;
    return begin;
}

static double share_of_numbers(const char *output, const char *truth, size_t n_truth)
{
    int n = 0, right = 0;
    const char *end;
    for (const char *p = output; (p = next_number(p, &end)); p = end) {
        n++;
        right += (size_t)(end - p) == n_truth && memcmp(p, truth, n_truth) == 0;
    }
    return n ? (double)right / n : 0;
}

double metric_text_count(const char *output, const char *answer)
{
    const char *end;
    return next_number(answer, &end) ? share_of_numbers(output, answer, strlen(answer)) : (double)NAN;
}

/* The truth is the number after "Paragraph " in the answer; answers in other words give their first number. */
double metric_text_retrieval(const char *output, const char *answer)
{
    static const char word[] = "Paragraph ";
    const char *begin = NULL, *end = answer;
    for (const char *p = answer; !begin && (p = strstr(p, word)); p++) {
        const char *number = next_number(p + strlen(word), &end);
        begin = number == p + strlen(word) ? number : NULL;
    }
    if (!begin)
        begin = next_number(answer, &end);
    return begin ? share_of_numbers(output, begin, (size_t)(end - begin)) : (double)NAN;
}

/* The end of the number that begins at p: digits and commas, then a fraction. */
static const char *number_end(const char *p)
{
    p += strspn(p, "0123456789,");
    if (*p == '.' && p[1] >= '0' && p[1] <= '9')
        p += 1 + strspn(p + 1, "0123456789");
    return p;
}

/* An answer of GSM8K as lm-evaluation-harness reads it: without what stands up to the last "####", commas, dollar signs
 * and a full stop at the end; blanks around it aside. Caller frees. */
static char *bare_answer(const char *answer)
{
    static const char mark[] = "####";
    for (const char *p; (p = strstr(answer, mark));)
        answer = p + strlen(mark);
    char *copy = mem_strdup(answer + strspn(answer, " \t\r\n")), *end = copy;
    for (const char *p = copy; *p; p++)
        if (*p != ',' && *p != '$')
            *end++ = *p;
    while (end > copy && strchr(" \t\r\n", end[-1]))
        end--;
    end -= end > copy && end[-1] == '.';
    *end = '\0';
    return copy;
}

/* 1 when text[0, n) is the answer but for commas. */
static int same_number(const char *text, size_t n, const char *answer)
{
    for (const char *end = text + n; text < end; text++) {
        if (*text == ',')
            continue;
        if (*text != *answer++)
            return 0;
    }
    return !*answer;
}

/* 1 when all of the text is one number. */
static int is_number(const char *text)
{
    text += *text == '-';
    return *text >= '0' && *text <= '9' && *number_end(text) == '\0';
}

double metric_text_last_number(const char *output, const char *answer)
{
    const char *last = NULL, *end = output;
    char *truth = bare_answer(answer);
    double score = is_number(truth) ? 0 : (double)NAN;
    for (const char *p = output; *p;) {
        const char *digit = p + (*p == '-');
        if (*digit < '0' || *digit > '9') {
            p++;
            continue;
        }
        last = p;
        p = end = number_end(digit);
    }
    if (last && score == 0)
        score = same_number(last, (size_t)(end - last), truth);
    mem_free(truth);
    return score;
}
