/* libFuzzer's side: the variable FUZZ_FORMAT names the format; with FUZZ_TELL it is printed what the reader says. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "models/kernels.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct fuzz_format *format;
static int tell;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *name = getenv("FUZZ_FORMAT");
    (void)argc;
    (void)argv;
    format = name ? fuzz_find(name) : NULL;
    if (!format) {
        fprintf(stderr, "FUZZ_FORMAT is '%s'; it names one of:", name ? name : "");
        for (const struct fuzz_format *f = fuzz_formats; f->name; f++)
            fprintf(stderr, " %s", f->name);
        fputs("\n", stderr);
        exit(2);
    }
    tell = getenv("FUZZ_TELL") != NULL;
    kernels_init();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    int accepted = format->feed((const char *)data, n);
    if (tell)
        fprintf(stderr, "%s\n", accepted ? "accepted" : fuzz_said.msg);
    return 0;
}
