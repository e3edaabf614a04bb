#include "datasets/fit.h"

static int tokens(const struct dataset_env *env, fit_build build, void *ctx, long units, const char *question,
                  const char *answer_prefix, struct str *out)
{
    str_clear(out);
    build(ctx, units, out);
    return env->prompt_tokens(env->ctx, str_c(out), out->n, question, answer_prefix);
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

int fit_context(const struct dataset_env *env, fit_build build, void *ctx, long min_units, const char *question,
                const char *answer_prefix, int max_tokens, long *units, struct str *out, struct err *e)
{
    long low = min_units, high = min_units + 16;
    int n = tokens(env, build, ctx, low, question, answer_prefix, out);
    if (n < 0)
        return err_set(e, ERR_CONFIG, "the tokenizer refused the text");
    if (n > max_tokens)
        return err_set(e, ERR_CONFIG, "the shortest prompt has %d tokens, more than the %d that length leaves", n, max_tokens);
    while (tokens(env, build, ctx, high, question, answer_prefix, out) <= max_tokens && high < 100000000) {
        low = high;
        high *= 2;
    }
    while (high - low > 1) {
        long middle = low + (high - low) / 2;
        if (tokens(env, build, ctx, middle, question, answer_prefix, out) <= max_tokens)
            low = middle;
        else
            high = middle;
    }
    /* tokens may not grow with every unit: a word more can let two others join */
    while (low > min_units && tokens(env, build, ctx, low, question, answer_prefix, out) > max_tokens)
        low--;
    tokens(env, build, ctx, low, question, answer_prefix, out);
    *units = low;
    return 0;
}
