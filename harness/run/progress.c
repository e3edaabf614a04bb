#include "harness/run/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/clock.h"
#include "harness/base/quote.h"

enum { BAR = 24 };
static const double LINE_EVERY_S = 15; /* off a terminal: often enough to see that it lives, rarely enough for a log */

void progress_begin(struct progress *p, const char *unit, long total, int quiet)
{
    *p = (struct progress){.unit = unit, .total = total, .quiet = quiet, .terminal = isatty(STDERR_FILENO)};
    p->start = p->last = clock_seconds();
}

static void duration(double s, char *out, size_t n)
{
    if (s < 100)
        snprintf(out, n, "%.0f s", s);
    else if (s < 6000)
        snprintf(out, n, "%.0f min", s / 60);
    else
        snprintf(out, n, "%.1f h", s / 3600);
}

void progress_step(struct progress *p, const char *label)
{
    double now = clock_seconds();
    p->done++;
    if (p->quiet || (!p->terminal && now - p->last < LINE_EVERY_S && p->done < p->total))
        return;
    p->last = now;
    char left[32], bar[BAR + 1];
    double rate = (double)p->done / (now - p->start + 1e-9);
    duration((double)(p->total - p->done) / rate, left, sizeof left);
    int full = p->total ? (int)(BAR * p->done / p->total) : BAR;
    memset(bar, '.', BAR);
    memset(bar, '#', (size_t)full);
    bar[BAR] = '\0';
    if (p->terminal)
        quote_show(stderr, "\r[%s] %ld/%ld %s  %.2f/s  %s left  %s\x1b[K", bar, p->done, p->total, p->unit, rate, left,
                   label);
    else
        quote_show(stderr, "[%s] %ld/%ld %s  %.2f/s  %s left  %s\n", bar, p->done, p->total, p->unit, rate, left,
                   label);
    p->shown = p->terminal;
}

void progress_end(struct progress *p)
{
    if (p->shown)
        quote_show(stderr, "\n");
    p->shown = 0;
}
