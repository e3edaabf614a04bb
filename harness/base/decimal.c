#include "harness/base/decimal.h"

#include <ctype.h>
#include <string.h>

#include "harness/base/str.h"

enum { MAX_DIGITS = 12, MAX_EXPONENT = 12 };

int decimal_parse(const char *text, struct decimal *out, struct err *e)
{
    const char *p = text;
    int negative = *p == '-';
    if (*p == '-' || *p == '+')
        p++;
    int64_t num = 0, den = 1;
    int digits = 0, significant = 0, seen_point = 0;
    for (; isdigit((unsigned char)*p) || (*p == '.' && !seen_point); p++) {
        if (*p == '.') {
            seen_point = 1;
            continue;
        }
        digits++;
        significant += num > 0 || *p != '0';
        if (significant > MAX_DIGITS || (seen_point && den >= 1000000000000LL))
            return err_set(e, ERR_CONFIG, "'%s' has more than %d digits", text, MAX_DIGITS);
        num = num * 10 + (*p - '0');
        if (seen_point)
            den *= 10;
    }
    if (digits && (*p == 'e' || *p == 'E')) {
        int64_t ex;
        if (str_to_int64(p[1] == '+' ? p + 2 : p + 1, &ex) || ex < -MAX_EXPONENT || ex > MAX_EXPONENT)
            return err_set(e, ERR_CONFIG, "'%s': exponent must lie in [-%d, %d]", text, MAX_EXPONENT, MAX_EXPONENT);
        for (; ex > 0 && den > 1; ex--)
            den /= 10;
        for (; ex > 0; ex--) {
            if (num > 100000000000000LL)
                return err_set(e, ERR_CONFIG, "'%s' is too large", text);
            num *= 10;
        }
        for (; ex < 0; ex++) {
            if (den >= 100000000000000LL)
                return err_set(e, ERR_CONFIG, "'%s' is too small", text);
            den *= 10;
        }
        p = "";
    }
    if (!digits || *p)
        return err_set(e, ERR_CONFIG, "'%s' is not a number", text);
    *out = (struct decimal){negative ? -num : num, den};
    return 0;
}

__extension__ typedef __int128 wide; /* products of two 64-bit numbers */

int64_t decimal_floor_mul(struct decimal d, int64_t n)
{
    return (int64_t)((wide)d.num * n / d.den);
}

double decimal_to_double(struct decimal d)
{
    return (double)d.num / (double)d.den;
}

int decimal_compare(struct decimal a, struct decimal b)
{
    wide l = (wide)a.num * b.den, r = (wide)b.num * a.den;
    return (l > r) - (l < r);
}
