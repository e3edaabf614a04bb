#include "datasets/fit.h"

enum { MAX_LETTERS = 64, MAX_PART = 1 << 20, NEAR = 8, MAX_BACK = 4 };
static const long max_words = 100000000;

struct search {
    const struct dataset_env *env;
    fit_build build;
    void *ctx;
    const char *question, *answer_prefix;
    struct str *out;
};

/* -1 when the tokenizer refuses the text. */
static int tokens(const struct search *s, long words, int letters)
{
    str_clear(s->out);
    s->build(s->ctx, (struct fit_size){words, letters}, s->out);
    return s->env->prompt_tokens(s->env->ctx, str_c(s->out), s->out->n, s->question, s->answer_prefix);
}

int fit_prompt_budget(const struct dataset_env *env, int64_t length, int max_new_tokens, int *out, struct err *e)
{
    if (env->context_length && length > env->context_length)
        return err_set(e, ERR_CONFIG, "length %lld exceeds the model's context of %d", (long long)length,
                       env->context_length);
    if (length <= max_new_tokens)
        return err_set(e, ERR_CONFIG, "length %lld leaves nothing for the prompt: max_new_tokens is %d (it counts)",
                       (long long)length, max_new_tokens);
    *out = (int)length - max_new_tokens;
    return 0;
}

size_t fit_whole_characters(const char *text, size_t n)
{
    size_t lead = n;
    while (lead > 0 && n - lead < 4 && ((unsigned char)text[lead - 1] & 0xC0) == 0x80)
        lead--;
    if (lead == 0 || n - lead > 3)
        return n;
    unsigned char c = (unsigned char)text[lead - 1];
    size_t want = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : c >= 0xC0 ? 1 : 0;
    return n - lead < want ? lead - 1 : n;
}

/* Uses up what whole words of *n tokens left over. Every length of the next word is tried, because tokens need not grow
 * with letters; the fewest letters win. *n becomes what they give. */
static int add_letters(const struct search *s, long words, int *n, int max_tokens)
{
    int best = 0, best_n = *n;
    size_t size = 0;
    for (int letters = 1; letters <= MAX_LETTERS && best_n < max_tokens; letters++) {
        int now = tokens(s, words, letters);
        if (now < 0 || s->out->n == size)
            break; /* the word has no more letters */
        size = s->out->n;
        if (now <= max_tokens && now > best_n) {
            best = letters;
            best_n = now;
        }
    }
    *n = best_n;
    return best;
}

struct part {
    const struct search *s;
    long records;
    int max_tokens, best, best_n; /* letters, and what they give */
    size_t size;                  /* of the text as last built */
};

static int try_part(struct part *p, int letters)
{
    int n = tokens(p->s, p->records, letters);
    p->size = p->s->out->n;
    if (n <= p->max_tokens && n > p->best_n) {
        p->best = letters;
        p->best_n = n;
    }
    return n;
}

/* What a list still lacks, a record's worth at most. More letters nearly always make more tokens: where they begin to
 * exceed the budget is bisected, and what lies around that place is tried when the budget was not met on the way. */
static int add_part(const struct search *s, long records, int *n, int max_tokens)
{
    struct part p = {s, records, max_tokens, 0, *n, 0};
    int low = 0, high = max_tokens - *n;
    while (p.best_n < max_tokens && high <= MAX_PART) {
        size_t before = p.size;
        if (try_part(&p, high) > max_tokens)
            break;
        low = high;
        if (p.size == before)
            break; /* there is no more to be taken */
        high *= 2;
    }
    while (p.best_n < max_tokens && high - low > 1) {
        int middle = low + (high - low) / 2;
        if (try_part(&p, middle) > max_tokens)
            high = middle;
        else
            low = middle;
    }
    for (int d = 1; d <= NEAR && p.best_n < max_tokens; d++) {
        if (low > d)
            try_part(&p, low - d);
        if (p.best_n < max_tokens)
            try_part(&p, low + d);
    }
    *n = p.best_n;
    return p.best;
}

/* Adds to that many words or records what uses up the rest. Where nothing does, one word less and a longer rest may. */
static void use_up(const struct search *s, long words, long min_words, int n, int max_tokens,
                   int (*add_rest)(const struct search *, long, int *, int))
{
    struct fit_size best = {words, 0};
    int best_n = n;
    for (int back = 0; back <= MAX_BACK && best_n < max_tokens && words - back >= min_words; back++) {
        int now = back ? tokens(s, words - back, 0) : n;
        int letters = add_rest(s, words - back, &now, max_tokens);
        if (now < max_tokens && tokens(s, words - back, FIT_BLANK) == max_tokens) {
            letters = FIT_BLANK;
            now = max_tokens;
        }
        if (now > best_n) {
            best = (struct fit_size){words - back, letters};
            best_n = now;
        }
    }
    tokens(s, best.words, best.letters);
}

static int search(const struct search *s, long min_words, int max_tokens,
                  int (*add_rest)(const struct search *, long, int *, int), struct err *e)
{
    long low = min_words, high = min_words;
    int n_low = tokens(s, low, 0), n_high = n_low;
    if (n_low < 0)
        return err_set(e, ERR_CONFIG, "the tokenizer refused the text");
    if (n_low > max_tokens)
        return err_set(e, ERR_CONFIG, "the shortest prompt has %d tokens, more than the %d that length leaves", n_low,
                       max_tokens);
    while (n_high <= max_tokens && high < max_words) { /* most words take a token or more: the first step overshoots */
        low = high;
        n_low = n_high;
        high += max_tokens - n_low + 16;
        n_high = tokens(s, high, 0);
        if (n_high < 0)
            return err_set(e, ERR_CONFIG, "the tokenizer refused the text");
    }
    /* Between: where a straight line says, every third time the middle, as the line may creep. */
    for (int i = 0; high - low > 1 && n_low < max_tokens; i++) {
        double share = i % 3 == 2 || n_high <= n_low ? 0.5 : (double)(max_tokens - n_low) / (double)(n_high - n_low);
        long at = low + (long)(share * (double)(high - low));
        at = at <= low ? low + 1 : at >= high ? high - 1 : at;
        int n = tokens(s, at, 0);
        if (n < 0)
            return err_set(e, ERR_CONFIG, "the tokenizer refused the text");
        if (n <= max_tokens) {
            low = at;
            n_low = n;
        } else {
            high = at;
            n_high = n;
        }
    }
    use_up(s, low, min_words, n_low, max_tokens, add_rest);
    return 0;
}

int fit_context(const struct dataset_env *env, fit_build build, void *ctx, long min_words, const char *question,
                const char *answer_prefix, int max_tokens, struct str *out, struct err *e)
{
    const struct search s = {env, build, ctx, question, answer_prefix, out};
    return search(&s, min_words, max_tokens, add_letters, e);
}

int fit_records(const struct dataset_env *env, fit_build build, void *ctx, long min_records, const char *question,
                const char *answer_prefix, int max_tokens, struct str *out, struct err *e)
{
    const struct search s = {env, build, ctx, question, answer_prefix, out};
    return search(&s, min_records, max_tokens, add_part, e);
}
