/* Shapes of models that are made from random numbers: by `depthkv bench --shape`, in memory, and by `make size`, as a
 * folder to import. Those of the Llama family go by two names. Included by a tool that is compiled alone: numbers only.
 */
#ifndef HARNESS_BENCH_SHAPES_H
#define HARNESS_BENCH_SHAPES_H

static const struct bench_shape {
    const char *name, *also; /* also: a second name, "" where there is none */
    int layer, width, head, kv_head, head_dim, ff, vocab, tied;
    int shard; /* files that the folder has */
} bench_shapes[] = {
    {"tiny", "", 4, 128, 4, 2, 32, 352, 1000, 0, 2}, /* for a try of the way */
    {"smollm2-135m", "135m", 30, 576, 9, 3, 64, 1536, 49152, 1, 1},
    {"0.5b", "", 16, 1280, 20, 4, 64, 5120, 65536, 0, 2},        /* 0.55 billion parameters */
    {"llama-1b", "1b", 16, 2048, 32, 8, 64, 8192, 128256, 1, 2}, /* Llama 3.2 1B */
    {"llama-3b", "3b", 28, 3072, 24, 8, 128, 8192, 128256, 1, 2},
    {"llama-8b", "8b", 32, 4096, 32, 8, 128, 14336, 128256, 0, 4}, /* Llama 3.1 8B */
};
enum { BENCH_N_SHAPE = sizeof bench_shapes / sizeof *bench_shapes };

#endif
