/* Questions about documents, read from the two files that RULER reads: SQuAD 2.0 (or 1.1) and HotpotQA (distractor
 * setting). Equal documents are one. Everything is checked here, so that whoever asks later can't fail. */
#ifndef DATASETS_QA_RECORDS_H
#define DATASETS_QA_RECORDS_H

#include <stddef.h>

#include "harness/base/err.h"

enum qa_form { QA_SQUAD, QA_HOTPOT };

/* Bytes of one document that the answer rests on. */
struct qa_evidence {
    int doc;
    size_t begin, end;
};

struct qa_question {
    char *id, *text;
    char **answer; /* [n_answer >= 1] */
    int n_answer;
    int *own; /* [n_own >= 1] its own documents: one paragraph (SQuAD), all that its record has (HotpotQA) */
    int n_own;
    int article;                  /* SQuAD: index of the article its paragraph is from; HotpotQA: -1 */
    struct qa_evidence *evidence; /* [n_evidence] SQuAD: the answers; HotpotQA: the supporting sentences */
    int n_evidence;
};

struct qa_article {
    int *doc; /* [n] */
    int n;
};

struct qa_records {
    char **doc; /* [n_doc], sorted, none empty */
    int n_doc;
    struct qa_question *question; /* in the order of the file; those without an answer (SQuAD 2.0) left out */
    int n_question;
    struct qa_article *article;
    int n_article;
};

/* Messages name the file and the place in it, as data[3].paragraphs[0].qas[2]. */
int qa_records_read(struct qa_records *r, enum qa_form form, const char *path, struct err *e);
void qa_records_fini(struct qa_records *r); /* accepts a zeroed one */

#endif
