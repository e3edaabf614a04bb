#include "harness/base/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "harness/base/mem.h"

struct regex {
    pcre2_code *code;
};

struct regex *regex_compile(const char *pattern, struct err *e)
{
    int number;
    PCRE2_SIZE at;
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &number, &at, NULL);
    if (!code) {
        PCRE2_UCHAR why[256];
        pcre2_get_error_message(number, why, sizeof why);
        err_set(e, ERR_FORMAT, "pattern '%s', offset %zu: %s", pattern, at, (char *)why);
        return NULL;
    }
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* without it matching is slower and nothing else */
    struct regex *r = mem_new(1, sizeof *r);
    r->code = code;
    return r;
}

void regex_destroy(struct regex *r)
{
    if (!r)
        return;
    pcre2_code_free(r->code);
    mem_free(r);
}

int regex_next(const struct regex *r, const char *text, size_t n, size_t from, size_t *begin, size_t *end,
               struct err *e)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    if (!data)
        return err_set(e, ERR_NOMEM, "no memory for a regular expression's match");
    int rc = pcre2_match(r->code, (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, data, NULL);
    if (rc > 0) {
        const PCRE2_SIZE *o = pcre2_get_ovector_pointer(data);
        *begin = o[0];
        *end = o[1];
    } else if (rc != PCRE2_ERROR_NOMATCH) {
        PCRE2_UCHAR why[256];
        pcre2_get_error_message(rc, why, sizeof why);
        err_set(e, ERR_UNSUPPORTED, "regular expression at byte %zu of %zu: %s", from, n, (char *)why);
    }
    pcre2_match_data_free(data);
    return rc > 0 ? 1 : rc == PCRE2_ERROR_NOMATCH ? 0 : -1;
}

const char *regex_version(void)
{
    static char text[64];
    if (!text[0] && pcre2_config(PCRE2_CONFIG_VERSION, NULL) < (int)sizeof text)
        pcre2_config(PCRE2_CONFIG_VERSION, text);
    return text;
}
