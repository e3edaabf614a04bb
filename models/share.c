#include "models/share.h"

static int parts(int n, int most)
{
    return (n + most - 1) / most;
}

struct share_rows share_rows(int rows, int threads)
{
    struct share_rows s = {.block_rows = rows, .n_block = 1};
    if (threads > 1 && rows < threads * SHARE_LEAST_ROWS)
        return s;
    s.blocks = 1;
    s.n_block = threads * parts(rows, threads * SHARE_MOST_ROWS);
    s.block_rows = parts(rows, s.n_block);
    s.n_block = parts(rows, s.block_rows);
    return s;
}

/* A part pays for reading a panel as much as for some rows. */
int share_parts(const struct matrix *w, int rows, int threads)
{
    enum { READING = 12 };
    int panels = matrix_n_panel(w), best = 1;
    long least = 0;
    for (int n = 1; n == 1 || rows / n >= SHARE_LEAST_ROWS / 2; n++) {
        long cost = (long)parts(panels * n, threads) * (parts(rows, n) + READING);
        if (n == 1 || cost < least) {
            least = cost;
            best = n;
        }
    }
    return best;
}

int share_slices(const struct matrix *w)
{
    return parts(w->cols, SHARE_SLICE);
}

struct share_unit share_begin(const struct matrix *w, int threads, int t)
{
    size_t at = matrix_elements(w) * (size_t)t / (size_t)threads;
    int panels = matrix_n_panel(w), p = (int)(at / matrix_panel_at(w, 1)), slices = share_slices(w);
    if (t >= threads || p >= panels)
        return (struct share_unit){panels, 0};
    size_t width = matrix_panel_width(w, p), left = (at - matrix_panel_at(w, p)) / width;
    int i = (int)((left + SHARE_SLICE / 2) / SHARE_SLICE);
    int padded =
        (int)width != matrix_panel_rows(w, p); /* is computed as a whole: outputs have no room for the padding */
    if (padded)
        i = 2 * left < (size_t)w->cols ? 0 : slices;
    return i < slices ? (struct share_unit){p, i} : (struct share_unit){p + 1, 0};
}
