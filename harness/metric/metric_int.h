/* Private to metric*.c: the metrics that need more than a few lines. Each scores one output against one answer;
 * metric_list.c takes the best answer. */
#ifndef HARNESS_METRIC_INT_H
#define HARNESS_METRIC_INT_H

#include "harness/metric/metric.h"

/* out[0] F1, out[1] precision, out[2] recall of the bags of words after SQuAD's normalisation. */
void metric_text_f1(const char *output, const char *answer, double out[3]);
double metric_text_classification(const struct metric_input *in, const char *answer);
double metric_text_edit_similarity(const char *output, const char *answer);
double metric_text_count(const char *output, const char *answer);
double metric_text_retrieval(const char *output, const char *answer);
/* 1 when it is the answer; NAN for an answer that is no number */
double metric_text_last_number(const char *output, const char *answer);

double metric_rouge_n(const char *output, const char *answer, int n); /* n: 1 or 2 */
double metric_rouge_l(const char *output, const char *answer);

#endif
