/* Solvers: they read a prompt as a person would, and share nothing with the generators. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "tests/lib/tasks.h"

/* What follows the last occurrence; NULL when there is none. */
static const char *after_last(const char *text, const char *what)
{
    const char *found = NULL;
    for (const char *p = text; (p = strstr(p, what)); p++)
        found = p + strlen(what);
    return found;
}

static char *part(const char *begin, const char *end)
{
    return begin && end && end >= begin ? mem_strndup(begin, (size_t)(end - begin)) : NULL;
}

/* The text between what follows the last `begin` and the next `end`; the caller frees. */
static char *between(const char *text, const char *begin, const char *end)
{
    const char *p = after_last(text, begin);
    return p ? part(p, strstr(p, end)) : NULL;
}

static void answer(struct str *out, const char *text, size_t n)
{
    str_addn(out, text, n);
    str_addc(out, '\n');
}

/* The context alone: up to where the last question begins. */
static char *context_of(const char *prompt, const char *question)
{
    const char *p = after_last(prompt, question);
    return p ? part(prompt, p - strlen(question)) : NULL;
}

/* ---- needles ----------------------------------------------------------------------------------- */

static int solve_niah(int compact, const char *prompt, struct str *out)
{
    char *context = context_of(prompt, compact ? "\nQ: " : "\nWhat ");
    char *keys = compact ? between(prompt, " of ", "?\nA:") : between(prompt, "\nWhat ", "?");
    if (!context || !keys) {
        mem_free(context);
        mem_free(keys);
        return -1;
    }
    char *list = compact ? keys : strstr(keys, " for ") + 5, *end = compact ? NULL : strstr(list, " mentioned"),
         *save = NULL;
    if (end)
        *end = '\0';
    for (char *key = strtok_r(list, ",", &save); key; key = strtok_r(NULL, ",", &save)) {
        struct str mark = {0};
        key += strspn(key, " ");
        key += strncmp(key, "and ", 4) == 0 ? 4 : 0;
        str_addf(&mark, compact ? " of %s is " : " for %s is: ", key);
        for (const char *p = context; (p = strstr(p, mark.p)); p++)
            answer(out, p + mark.n, strcspn(p + mark.n, "."));
        str_free(&mark);
    }
    mem_free(context);
    mem_free(keys);
    return 0;
}

static int solve_passkey(int compact, const char *prompt, struct str *out)
{
    const char *p = strstr(prompt, "The pass key is ");
    (void)compact;
    if (!p)
        return -1;
    p += strlen("The pass key is ");
    answer(out, p, strspn(p, "0123456789"));
    return 0;
}

static int solve_copy(int compact, const char *prompt, struct str *out)
{
    const char *mark = compact ? "Passage: " : "The passage is: ", *p = strstr(prompt, mark);
    if (!p)
        return -1;
    answer(out, p + strlen(mark), strcspn(p + strlen(mark), "."));
    return 0;
}

/* ---- chains ------------------------------------------------------------------------------------ */

enum { MAX_ASSIGNED = 200 };

static int solve_vt(int compact, const char *prompt, struct str *out)
{
    const char *p = compact ? prompt : after_last(prompt, "Memorize and track");
    char *value =
        compact ? between(prompt, "\nQ: variables with ", "?") : between(prompt, "assigned the value ", ", they are");
    char *name[MAX_ASSIGNED], *from[MAX_ASSIGNED];
    int n = 0, found = 0;
    while (p && value && n < MAX_ASSIGNED && (p = strstr(p, "VAR "))) {
        size_t length = strspn(p + 4, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
        const char *right = p + 4 + length;
        p = right;
        if (length == 0 || strncmp(right, " = ", 3) != 0)
            continue;
        name[n] = mem_strndup(right - length, length);
        right += strncmp(right + 3, "VAR ", 4) == 0 ? 7 : 3;
        from[n++] = mem_strndup(right, strspn(right, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"));
        p = right;
    }
    char *next = value;
    for (int again = 1; again && next;) {
        again = 0;
        for (int i = 0; i < n && !again; i++)
            if (name[i] && strcmp(from[i], next) == 0) {
                answer(out, name[i], strlen(name[i]));
                if (next != value)
                    mem_free(next);
                next = name[i];
                name[i] = NULL;
                again = found = 1;
            }
    }
    if (next != value)
        mem_free(next);
    for (int i = 0; i < n; i++) {
        mem_free(name[i]);
        mem_free(from[i]);
    }
    mem_free(value);
    return found ? 0 : -1;
}

/* What the fact about somebody says: a number, or one that follows from somebody else's. -1000 when there is none. */
static int coins_of(const char *context, const char *who, int depth)
{
    struct str mark = {0};
    char other[40];
    int number = 0, value = -1000;
    str_addf(&mark, "%s has ", who);
    const char *p = depth < 50 ? strstr(context, mark.p) : NULL;
    if (p) {
        p += mark.n;
        const char *than = strstr(p, " than "), *as = strstr(p, " as "), *stop = strchr(p, '.');
        number = atoi(p);
        if (strncmp(p, "twice as many", 13) == 0) {
            as = strstr(p + 13, " as ");
            snprintf(other, sizeof other, "%.*s", (int)strcspn(as + 4, "."), as + 4);
            value = 2 * coins_of(context, other, depth + 1);
        } else if (than && stop && than < stop) {
            snprintf(other, sizeof other, "%.*s", (int)strcspn(than + 6, "."), than + 6);
            value = coins_of(context, other, depth + 1) +
                    (strstr(p, " fewer") && strstr(p, " fewer") < than ? -number : number);
        } else if (stop) {
            value = number;
        }
    }
    str_free(&mark);
    return value;
}

static int solve_arithmetic(int compact, const char *prompt, struct str *out)
{
    char *context = context_of(prompt, compact ? "\nQ: " : "\nQuestion: ");
    char *who = compact ? between(prompt, "\nQ: coins of ", "?") : between(prompt, "How many coins does ", " have?");
    int value = context && who ? coins_of(context, who, 0) : -1;
    if (value >= 0)
        str_addf(out, "%d\n", value);
    mem_free(context);
    mem_free(who);
    return value >= 0 ? 0 : -1;
}

/* ---- counting ---------------------------------------------------------------------------------- */

struct counted {
    char *word;
    int n;
};

static int by_word(const void *a, const void *b)
{
    return strcmp(((const struct counted *)a)->word, ((const struct counted *)b)->word);
}

static int by_count(const void *a, const void *b)
{
    return ((const struct counted *)b)->n - ((const struct counted *)a)->n;
}

/* The k words that stand there most often, numbers "12." and dots aside; in alphabetical order or by frequency. -1 when
 * a tie leaves the choice open, within the k too where their order counts. */
static int most_frequent(const char *text, int k, int alphabetical, struct str *out)
{
    char *copy = mem_strdup(text), *save = NULL;
    struct counted *c = mem_new(strlen(text) + 2, sizeof *c);
    int n = 0, kinds = 0;
    for (char *w = strtok_r(copy, " \n", &save); w; w = strtok_r(NULL, " \n", &save))
        if (w[strspn(w, "0123456789.")])
            c[n++] = (struct counted){w, 1};
    qsort(c, (size_t)n, sizeof *c, by_word);
    for (int i = 0; i < n; i++)
        if (kinds && strcmp(c[kinds - 1].word, c[i].word) == 0)
            c[kinds - 1].n++;
        else
            c[kinds++] = c[i];
    qsort(c, (size_t)kinds, sizeof *c, by_count);
    int rc = kinds > k && c[k - 1].n > c[k].n ? 0 : -1;
    if (alphabetical && rc == 0)
        qsort(c, (size_t)k, sizeof *c, by_word);
    for (int i = 0; i < k && rc == 0; i++)
        answer(out, c[i].word, strlen(c[i].word));
    mem_free(copy);
    mem_free(c);
    return rc;
}

static int solve_count(const char *prompt, const char *list, const char *question, const char *number, int alphabetical,
                       struct str *out)
{
    const char *begin = *list ? after_last(prompt, list) : prompt, *end = after_last(prompt, question);
    char *text = end ? part(begin, end - strlen(question)) : NULL;
    const char *k = end && *number ? after_last(prompt, number) : NULL;
    int rc = text ? most_frequent(text, k ? atoi(k) : 3, alphabetical, out) : -1;
    mem_free(text);
    return rc;
}

static int solve_cwe(int compact, const char *prompt, struct str *out)
{
    return compact ? solve_count(prompt, "", "\nQ: ", "\nQ: ", 1, out)
                   : solve_count(prompt, "Memorize the ones that appear most often.\n", "\nQuestion:", "What are the ",
                                 1, out);
}

static int solve_fwe(int compact, const char *prompt, struct str *out)
{
    return compact ? solve_count(prompt, "", "\nQ: ", "\nQ: ", 0, out)
                   : solve_count(prompt, "frequently appeared coded words. ", "\nQuestion:", "", 0, out);
}

/* ---- lists ------------------------------------------------------------------------------------- */

static int solve_lines(int compact, const char *prompt, struct str *out)
{
    char *key =
        compact ? between(prompt, "\nQ: line ", "?") : between(prompt, "The <REGISTER_CONTENT> in line ", " is");
    struct str mark = {0};
    str_addf(&mark, compact ? "line %s: " : "line %s: REGISTER_CONTENT is <", key ? key : "?");
    const char *p = strstr(prompt, mark.p);
    if (p)
        answer(out, p + mark.n, strspn(p + mark.n, "0123456789"));
    mem_free(key);
    str_free(&mark);
    return p ? 0 : -1;
}

static int solve_kv(int compact, const char *prompt, struct str *out)
{
    char *key = compact ? between(prompt, "\nQ: key ", "?") : between(prompt, "\n\nKey: \"", "\"\n");
    char *context = context_of(prompt, compact ? "\nQ: " : "\n\nKey: ");
    const char *begin = context ? strchr(context, '{') : NULL, *value = NULL;
    struct json *object = begin ? json_parse("prompt", begin, strlen(begin), NULL) : NULL; /* all of it must be JSON */
    if (object && key && (value = json_string(json_get(object, key))))
        answer(out, value, strlen(value));
    int rc = value ? 0 : -1;
    json_free(object);
    mem_free(context);
    mem_free(key);
    return rc;
}

static int solve_induction(int compact, const char *prompt, struct str *out)
{
    const char *begin = compact ? prompt : strstr(prompt, "afterwards.\n");
    const char *key = compact ? after_last(prompt, "\n") : after_last(prompt, " The pair is: ");
    if (!begin || !key)
        return -1;
    char *list = mem_strdup(begin + (compact ? 0 : strlen("afterwards.\n"))), *save = NULL;
    int found = 0;
    for (char *pair = strtok_r(list, ",.", &save); pair; pair = strtok_r(NULL, ",.", &save)) {
        pair += strspn(pair, " ");
        size_t n = strcspn(pair, " ");
        if (n == strlen(key) && pair[n] && strncmp(pair, key, n) == 0 && ++found == 1)
            answer(out, pair + n + 1, strlen(pair + n + 1));
    }
    mem_free(list);
    return found == 1 ? 0 : -1;
}

int tasks_solve(const char *task, int compact, const char *prompt, struct str *answers)
{
    static const struct {
        const char *task;
        int (*solve)(int compact, const char *prompt, struct str *out);
    } table[] = {{"niah", solve_niah},
                 {"vt", solve_vt},
                 {"cwe", solve_cwe},
                 {"fwe", solve_fwe},
                 {"lines", solve_lines},
                 {"kv", solve_kv},
                 {"induction", solve_induction},
                 {"passkey", solve_passkey},
                 {"copy", solve_copy},
                 {"arithmetic", solve_arithmetic}};
    str_clear(answers);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strncmp(table[i].task, task, strlen(table[i].task)) == 0)
            return table[i].solve(compact, prompt, answers);
    return -1;
}
