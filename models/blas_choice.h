/* Which of its kernels OpenBLAS takes. It chooses by the processor's model number while it is loaded, and takes one
 * that it does not know for a very old one: version 0.3.21 multiplies at a tenth of what a Sapphire Rapids can. What
 * the processor can is known without its number, and $OPENBLAS_CORETYPE says it to OpenBLAS when it is loaded again. */
#ifndef MODELS_BLAS_CHOICE_H
#define MODELS_BLAS_CHOICE_H

/* Widths of vectors, from the narrowest. */
enum blas_level { BLAS_SSE, BLAS_AVX, BLAS_AVX2, BLAS_AVX512, BLAS_AVX512_BF16, BLAS_N_LEVEL };

enum blas_level blas_choice_processor(int *amd); /* the widest that this processor and its system have */
const char *blas_choice_level_name(enum blas_level l);

/* The level of a set of kernels, by OpenBLAS's name of it in any case; -1: a name that is not known here. */
int blas_choice_level(const char *core);

/* The best set for a processor, of those that the library has, narrower than `below`; NULL: there is none, or none that
 * is better than `core`, which it has now. */
const char *blas_choice_better(const char *core, enum blas_level processor, int amd, int below,
                               int (*has)(const char *core));
int blas_choice_has(const char *core); /* 1: the library that is loaded has it, or does not tell */

/* For the record: which kernels there are, and by whose choice. */
void blas_choice_note(const char *instead_of); /* the program chose, in place of this one; lent */
const char *blas_choice_core(void);            /* "" where the library has one set only */
const char *blas_choice_instead_of(void);      /* NULL: the program chose nothing */

#endif
