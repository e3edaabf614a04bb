/* A GGUF file, opened as an import does, with its tokenizer made and its tensors converted. */
#include "models/import.h"
#include "tests/fuzz/fuzz.h"

int fuzz_gguf(const char *data, size_t n)
{
    struct import_source s;
    if (import_open(fuzz_file("model.gguf", data, n), &s, &fuzz_said))
        return 0;
    fuzz_fetch_all(&s);
    import_close(&s);
    return 1;
}
