/* What an axis of an experiment's cells is. axes.c has the table of them; axes_values.c and axes_nouns.c the kinds. */
#ifndef HARNESS_AXIS_H
#define HARNESS_AXIS_H

#include "harness/experiment/experiment_int.h"

struct axis;

/* How values of a sort are read, put into cells and printed. A value is a `struct choice`: its canonical JSON, and its
 * name and parameters (of a noun) or the field as a cell holds it. */
struct axis_kind {
    /* Appends what one value of `key` says (of a noun: or a list), or complains. */
    void (*read)(struct load *l, const struct axis *a, const char *key, const struct conf *c, struct choices *out);
    void (*set)(const struct axis *a, const struct choice *v, struct cell *c);
    /* The value of a cell as canonical JSON. */
    void (*json)(const struct axis *a, const struct cell *c, struct str *out);
    /* (optional) 1 when cells have the same value; otherwise their fields say so */
    int (*same)(const struct cell *x, const struct cell *y);
    int is_noun; /* names with parameters: a baseline that gives none means any; lists are expanded by `read` */
    int is_text; /* the axis' field is the canonical text, which the cell owns */
};

/* What cells that differ in an axis can't have in common. */
enum axis_splits {
    AXIS_SPLITS_WEIGHTS = 1, /* the model as it is loaded */
    AXIS_SPLITS_PROMPTS = 2, /* the prompts: a task's `length` counts what may be generated */
    AXIS_SPLITS_PREFILL = 4, /* the tokens that are read before the cut */
    AXIS_SPLITS_CACHE = 8    /* the full cache, which holds the same tokens in another form */
};

/* Where a table says which value a line has. */
enum axis_shown {
    AXIS_SHOWN_NOTED,  /* beside the others that are not the default: notes of tables, names of curves */
    AXIS_SHOWN_COLUMN, /* in a column of its own, or with the policy's name */
    AXIS_SHOWN_POOLED  /* nowhere: a line is the mean over its values */
};

/* Whose the default is. Where it is not the same for all, values are noted where they vary. */
enum axis_default { AXIS_DEFAULT_FIXED, AXIS_DEFAULT_OF_POLICY, AXIS_DEFAULT_OF_TASK };

struct axis {
    const char *key;         /* in rows, cells.csv and, unless `keys` are, in experiments */
    const char *const *keys; /* (optional) in experiments, of which a block has one at most; NULL at the end */
    const char *note;        /* its name in notes, curves and `check` */
    const struct axis_kind *kind;
    size_t field, size; /* of struct cell; cells have the same value when these bytes are equal (is_text: the texts) */
    const char *dflt;   /* as an experiment would write it; NULL: `own` sets it */
    enum axis_default dflt_is;
    void (*own)(const struct experiment *x, struct cell *c);
    /* (optional) 1 when a cell takes the default whatever its block says */
    int (*ignored)(const struct policy_ops *p, const struct allocator_ops *a);
    /* (optional) 1 when a model has nothing for other values to change, in words `lacking`: its cells take the default,
     * which a block then has to offer */
    int (*lacks)(const struct hparams *hp);
    const char *lacking;
    /* (optional) what the cell's other axes, which are set by now, leave of this one */
    void (*bound)(struct cell *c);
    /* 1: a cell of the default says nothing of it in its id, so that ids that were published stay what they are */
    int is_later;
    unsigned splits; /* enum axis_splits; 0: cells that differ share all of it */
    enum axis_shown shown;
    int is_labelled;          /* 1: a value says too little without `note` before it */
    int is_part;              /* 1: said with the axis before it, whose values it reads */
    int row_rank;             /* rows have their axes by this, then in the table's order: as they always had them */
    const char *const *words; /* kind word: by the field's value; "" where there is none for it */
    int64_t min, max;         /* kind number */
};

#endif
