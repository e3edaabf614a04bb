/* What figures (figure.h) are saved by: data (.dat) and script (.gp) are the product, the pictures that gnuplot makes
 * of them are derived. */
#ifndef HARNESS_PLOT_H
#define HARNESS_PLOT_H

#include "harness/base/quote.h"
#include "harness/metric/metric.h"
#include "harness/report/aggregate.h"
#include "harness/report/message.h"

struct plot_list {
    struct plot_item {
        char *name;           /* without folder and ending */
        int drawn;            /* 1: there are pictures of it */
        const char *task_key; /* borrowed from the aggregate; NULL: over several tasks */
    } * item;
    int n;
    size_t cap;
    int n_failed, stuck;          /* pictures that gnuplot could not make; 1: it was too slow, and is not tried again */
    char *failed, *why;           /* the first of them */
    struct message_list messages; /* why there are no pictures; empty when there are */
};

void plot_list_fini(struct plot_list *p);

/* A folder holds the figures of its last report and no older ones. FOLDER/MAKER.list names those that `maker`
 * ("report", "metrics") has made; the ones that are not in `now` any more are removed, with data, script and pictures,
 * and the list is written anew. Other files are left alone, whatever they are called. is_whole 0: making them was
 * broken off, and nothing is removed yet. */
int plot_own(const char *folder, const char *maker, const struct plot_list *now, int is_whole, struct err *e);

/* ---- for figures ---- */

/* Okabe and Ito's palette, which readers with any colour vision can tell apart, and point types that differ as well. */
extern const char *const plot_colour[8];
extern const int plot_point[9];

/* What a picture holds at most before it is drawn once for every policy. */
enum { plot_most_curves = 12 };

/* Both ends of an error bar; NaN, which is a point without one, where they are not known. */
void plot_ends(double lo, double hi, struct quote *dat);
/* A file name out of a label: letters, digits, _ and -; what is too long gets its hash for an end. In place. */
void plot_safe_name(struct str *name);
/* Writes name.dat and name.gp, has gnuplot draw them, and lists the figure; takes the name. `task_key`: see plot_list.
 */
int plot_save(const char *folder, struct str *name, const char *task_key, struct quote *dat, struct quote *gp,
              struct plot_list *out, struct err *e);
void plot_terminal(const char *name, int png, struct quote *gp); /* the output of a figure of one panel */
void plot_list_tell(struct plot_list *p); /* when all is drawn: adds the message of pictures that failed */

#endif
