/* A model file, as everything opens it. */
#include "models/model.h"
#include "tests/fuzz/fuzz.h"

int fuzz_model(const char *data, size_t n)
{
    const char *path = fuzz_file("model.h5", data, n);
    struct hparams hp;
    struct tokenizer *t = NULL;
    struct err e;
    char sha256[HASH_HEX];
    (void)model_open_hparams(path, &hp, sha256, &e);
    if (model_open_tokenizer(path, &t, &e) == 0)
        tokenizer_destroy(t);
    struct model *m = model_open(path, MODEL_F32, &fuzz_said);
    int ok = m != NULL;
    model_close(m);
    return ok;
}
