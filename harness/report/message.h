/* What a reader should know or doubt although nothing failed: a list of messages, each of a kind whose words stand in
 * one table (message.c). What reads results adds to the list; table.md, table.tex, index.html, messages.json and the
 * terminal print all of it, in the same words. A new kind is a name here, a line in the table, and a call of
 * message_add where it is found out. */
#ifndef HARNESS_MESSAGE_H
#define HARNESS_MESSAGE_H

#include <stddef.h>
#include <stdio.h>

#include "harness/base/quote.h"
#include "harness/base/str.h"

enum message_kind {
    /* which rows count */
    MESSAGE_LEFT_OUT,
    MESSAGE_NO_PLAN,
    MESSAGE_REPLACED,
    MESSAGE_MIXED_BUILDS,
    MESSAGE_NO_ROWS,
    /* what the rows are like */
    MESSAGE_FAILED,
    MESSAGE_NOT_APPLICABLE,
    MESSAGE_CUT_OFF,
    MESSAGE_PROTECTION_CUT,
    MESSAGE_FEW_SAMPLES,
    MESSAGE_WINDOWS,
    /* what the folder is like, and what this machine could not do */
    MESSAGE_STALE_PROFILE,
    MESSAGE_NOTHING_TO_PLOT,
    MESSAGE_NO_GNUPLOT,
    MESSAGE_NO_PICTURE,
    /* of two results */
    MESSAGE_UNKNOWN_DATA,
    MESSAGE_OTHER_DATA,
    MESSAGE_END
};

enum message_severity {
    MESSAGE_NOTE,   /* read the numbers with it in mind */
    MESSAGE_WARNING /* they may not be what was asked for */
};

enum { MESSAGE_N_NUMBER = 3, MESSAGE_N_TEXT = 3 };

/* What stands in for {1} {2} {3} and {a} {b} {c} of the kind's words. */
struct message_values {
    long number[MESSAGE_N_NUMBER];
    const char *text[MESSAGE_N_TEXT]; /* somebody else's, as it is: printers quote it */
};

struct message_ops {
    const char *id;
    enum message_severity severity;
    int of_results; /* 1: it is as true elsewhere and tomorrow, so it stands in files too; 0: of this call alone */
    const char *text;
};

const struct message_ops *message_at(enum message_kind kind);

struct message_list {
    struct message {
        enum message_kind kind;
        char *text; /* the whole sentence, owned */
    } * v;
    int n;
    size_t cap;
};

void message_add(struct message_list *l, enum message_kind kind, const struct message_values *values);
void message_append(struct message_list *l, const struct message_list *more); /* copies */
void message_drop(struct message_list *l, enum message_kind kind); /* what somebody tells in full elsewhere */
int message_has(const struct message_list *l, enum message_kind kind);
void message_list_free(struct message_list *l); /* a zeroed list is fine */

/* A line each: "warning: DIR: ..." or "note: DIR: ..."; `about` NULL: without it. */
void message_show(const struct message_list *l, const char *about, FILE *out);
/* Those of results, as a section of the page, in its language; nothing when there are none. */
void message_page(const struct message_list *l, struct quote *out);
/* Those of results as JSON: [{"id": "cut_off", "severity": "warning", "text": "..."}, ...]. */
void message_json(const struct message_list *l, struct str *out);

#endif
