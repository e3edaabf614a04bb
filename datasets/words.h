/* Adjectives and nouns, sorted and without repetition, for keys such as "amber-anchor". */
#ifndef DATASETS_WORDS_H
#define DATASETS_WORDS_H

enum { WORDS_N = 200 };
extern const char *const words_adjective[WORDS_N];
extern const char *const words_noun[WORDS_N];

#endif
