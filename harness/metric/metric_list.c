/* The table of metrics, and those that are a line or two. */
#include "harness/metric/metric.h"

#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/unicode.h"
#include "harness/metric/metric_int.h"

/* The text without white space at both ends; caller frees. */
static char *strip(const char *text)
{
    const char *begin = NULL, *end = text;
    for (const char *p = text; *p;) {
        int32_t c;
        size_t n = unicode_next(p, &c);
        if (!unicode_is_space(c)) {
            begin = begin ? begin : p;
            end = p + n;
        }
        p += n;
    }
    return mem_strndup(begin ? begin : text, begin ? (size_t)(end - begin) : 0);
}

/* RULER's clean-up of predictions, control characters to newlines and ends stripped, then lower case. */
static char *ruler_output(const char *output)
{
    char *copy = mem_strdup(output);
    for (char *p = copy; *p; p++)
        if ((unsigned char)*p < 0x20)
            *p = '\n';
    char *bare = strip(copy), *low = unicode_lower(bare);
    mem_free(copy);
    mem_free(bare);
    return low;
}

static int found_answers(const struct metric_input *in)
{
    char *output = ruler_output(in->output);
    int found = 0;
    for (int i = 0; i < in->n_answer; i++) {
        char *answer = unicode_lower(in->answer[i]);
        found += strstr(output, answer) != NULL;
        mem_free(answer);
    }
    mem_free(output);
    return found;
}

static void string_match_all(const struct metric_input *in, double *value)
{
    value[0] = in->n_answer ? (double)found_answers(in) / in->n_answer : (double)NAN;
}

static void string_match_part(const struct metric_input *in, double *value)
{
    value[0] = in->n_answer ? found_answers(in) > 0 : (double)NAN;
}

static double exact_one(const struct metric_input *in, const char *answer)
{
    char *a = strip(in->output), *b = strip(answer);
    int same = strcmp(a, b) == 0;
    mem_free(a);
    mem_free(b);
    return same;
}

static double contains_one(const struct metric_input *in, const char *answer)
{
    return strstr(in->output, answer) != NULL;
}

static double edit_one(const struct metric_input *in, const char *answer)
{
    return metric_text_edit_similarity(in->output, answer);
}

static double count_one(const struct metric_input *in, const char *answer)
{
    return metric_text_count(in->output, answer);
}

static double retrieval_one(const struct metric_input *in, const char *answer)
{
    return metric_text_retrieval(in->output, answer);
}

static double last_number_one(const struct metric_input *in, const char *answer)
{
    return metric_text_last_number(in->output, answer);
}

static double rouge1_one(const struct metric_input *in, const char *answer)
{
    return metric_rouge_n(in->output, answer, 1);
}

static double rouge2_one(const struct metric_input *in, const char *answer)
{
    return metric_rouge_n(in->output, answer, 2);
}

static double rouge_l_one(const struct metric_input *in, const char *answer)
{
    return metric_rouge_l(in->output, answer);
}

static double best(const struct metric_input *in, double (*one)(const struct metric_input *, const char *))
{
    double top = NAN;
    for (int i = 0; i < in->n_answer; i++)
        top = fmax(top, one(in, in->answer[i])); /* fmax passes over NAN */
    return top;
}

#define BEST_OF_ANSWERS(name, one) \
    static void name(const struct metric_input *in, double *value) \
    { \
        value[0] = best(in, one); \
    }
BEST_OF_ANSWERS(exact, exact_one)
BEST_OF_ANSWERS(contains, contains_one)
BEST_OF_ANSWERS(rouge1, rouge1_one)
BEST_OF_ANSWERS(rouge2, rouge2_one)
BEST_OF_ANSWERS(rouge_l, rouge_l_one)
BEST_OF_ANSWERS(classification, metric_text_classification)
BEST_OF_ANSWERS(edit_similarity, edit_one)
BEST_OF_ANSWERS(count, count_one)
BEST_OF_ANSWERS(retrieval, retrieval_one)
BEST_OF_ANSWERS(last_number, last_number_one)

/* Precision and recall are those of the answer with the best F1, the first one on a tie. */
static void f1(const struct metric_input *in, double *value)
{
    value[0] = value[1] = value[2] = NAN;
    for (int i = 0; i < in->n_answer; i++) {
        double v[3];
        metric_text_f1(in->output, in->answer[i], v);
        if (i == 0 || v[0] > value[0])
            memcpy(value, v, sizeof v);
    }
}

static void yap(const struct metric_input *in, double *value)
{
    int excess = in->output_tokens - in->answer_tokens;
    value[0] = excess > 0 ? excess : 0;
}

static const char *const f1_extra[] = {"precision", "recall", NULL};

static const struct metric_ops table[] = {
    {"string_match_all", "share of the answers found in the output, any case",
     "RULER (Hsieh et al. 2024, arXiv:2404.06654), string_match_all", "fraction", 1, 1, NULL, string_match_all},
    {"string_match_part", "1 when any answer is found in the output, any case",
     "RULER (Hsieh et al. 2024, arXiv:2404.06654), string_match_part", "fraction", 1, 1, NULL, string_match_part},
    {"exact", "1 when the output is one of the answers, blanks around both aside", "case and punctuation count",
     "fraction", 1, 1, NULL, exact},
    {"contains", "1 when an answer occurs in the output as it stands", "case counts", "fraction", 1, 1, NULL, contains},
    {"f1", "F1 of the bags of words; the best answer counts",
     "SQuAD (Rajpurkar et al. 2016) normalisation, LongBench qa_f1_score", "fraction", 1, 1, f1_extra, f1},
    {"rouge1", "F of common words; the best answer counts",
     "Lin 2004; tokens and F as in the package rouge-score without stemmer", "fraction", 1, 1, NULL, rouge1},
    {"rouge2", "F of common pairs of words; the best answer counts",
     "Lin 2004; tokens and F as in the package rouge-score without stemmer", "fraction", 1, 1, NULL, rouge2},
    {"rougeL", "F of the longest common subsequence of words; the best answer counts",
     "Lin 2004; tokens and F as in the package rouge-score without stemmer", "fraction", 1, 1, NULL, rouge_l},
    {"classification", "1 / number of classes named, when the right one is among them",
     "LongBench (Bai et al. 2023, arXiv:2308.14508) classification_score", "fraction", 1, 1, NULL, classification},
    {"edit_similarity", "similarity of the first line of code",
     "LongBench (Bai et al. 2023, arXiv:2308.14508) code_sim_score", "fraction", 1, 1, NULL, edit_similarity},
    {"count", "share of the numbers in the output that equal the answer",
     "LongBench (Bai et al. 2023, arXiv:2308.14508) count_score", "fraction", 1, 1, NULL, count},
    {"retrieval", "share of the numbers in the output that name the right paragraph",
     "LongBench (Bai et al. 2023, arXiv:2308.14508) retrieval_score", "fraction", 1, 1, NULL, retrieval},
    {"last_number", "1 when the last number of the output is the answer",
     "GSM8K (Cobbe et al. 2021, arXiv:2110.14168); answers as in lm-evaluation-harness: what follows \"####\", no "
     "commas, $, final stop",
     "fraction", 1, 1, NULL, last_number},
    {"yap", "tokens of the output beyond those of the first answer", "excess length, max(0, output - answer)", "tokens",
     0, 1, NULL, yap},
    {"nll", "negative log-likelihood of the first answer, teacher-forced", "mean per token, computed by the engine",
     "nats per token", 0, 1, NULL, NULL},
};

int metric_count(void)
{
    return (int)(sizeof table / sizeof *table);
}

const struct metric_ops *metric_at(int i)
{
    return &table[i];
}

const struct metric_ops *metric_find(const char *name)
{
    for (int i = 0; i < metric_count(); i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}
