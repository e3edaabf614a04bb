#include "harness/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A message that was cut off must not end in half a character. */
static void mend_end(char *msg)
{
    size_t n = strlen(msg), back = 0;
    while (back < 3 && back + 1 < n && ((unsigned char)msg[n - 1 - back] & 0xC0) == 0x80)
        back++;
    unsigned char lead = (unsigned char)(n ? msg[n - 1 - back] : 0);
    size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (n + 1 >= ERR_MSG_SIZE && need > back + 1)
        msg[n - 1 - back] = '\0';
}

int err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
    if (!e)
        return -1;
    e->code = code;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    mend_end(e->msg);
    return -1;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
    if (!e)
        return -1;
    char old[ERR_MSG_SIZE];
    memcpy(old, e->msg, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof e->msg)
        snprintf(e->msg + n, sizeof e->msg - (size_t)n, ": %.*s", (int)(sizeof e->msg - (size_t)n), old);
    mend_end(e->msg);
    return -1;
}
