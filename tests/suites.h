/* Every suite, in the order of dependence, so that the first failure is the deepest. */
#ifndef TESTS_SUITES_H
#define TESTS_SUITES_H

#include <check.h>

/* One line a suite: SUITE(stem) declares make_<stem>_suite and runs it. */
#define ALL_SUITES \
    SUITE(base) \
    SUITE(quote) \
    SUITE(metric) \
    SUITE(stats) \
    SUITE(repr) \
    SUITE(permutation) \
    SUITE(h5) \
    SUITE(spoiled_files) \
    SUITE(tokenizer) \
    SUITE(dequant) \
    SUITE(model) \
    SUITE(gguf) \
    SUITE(safetensors) \
    SUITE(import_config) \
    SUITE(import_tokenizer) \
    SUITE(tokenizer_kinds) \
    SUITE(tokenizer_pipelines) \
    SUITE(tokenizer_real) \
    SUITE(kvcache) \
    SUITE(kernels_many) \
    SUITE(share) \
    SUITE(kernels_bf16) \
    SUITE(cache_dtype) \
    SUITE(attention) \
    SUITE(transformer) \
    SUITE(transformer_vectors) \
    SUITE(pruned_vectors) \
    SUITE(smollm2) \
    SUITE(real_models) \
    SUITE(dataset) \
    SUITE(jsonl) \
    SUITE(tasks) \
    SUITE(qa) \
    SUITE(trainer) \
    SUITE(policy) \
    SUITE(example_policy) \
    SUITE(policy_vectors) \
    SUITE(policy_contract) \
    SUITE(head) \
    SUITE(statistic) \
    SUITE(allocator) \
    SUITE(alloc_profile) \
    SUITE(alloc_peers) \
    SUITE(alloc_windows) \
    SUITE(prune) \
    SUITE(conf) \
    SUITE(experiment) \
    SUITE(experiment_errors) \
    SUITE(estimate) \
    SUITE(encode) \
    SUITE(prompts) \
    SUITE(observe) \
    SUITE(json) \
    SUITE(target) \
    SUITE(columns) \
    SUITE(journal) \
    SUITE(keptfile) \
    SUITE(rowkey) \
    SUITE(plan) \
    SUITE(aggregate) \
    SUITE(baseline) \
    SUITE(kept_overlap) \
    SUITE(compare) \
    SUITE(figure) \
    SUITE(plot) \
    SUITE(profile) \
    SUITE(repr_study) \
    SUITE(message) \
    SUITE(report) \
    SUITE(runner) \
    SUITE(trace) \
    SUITE(generate) \
    SUITE(axes) \
    SUITE(windows) \
    SUITE(window_cells) \
    SUITE(longrope) \
    SUITE(kept_kvpress) \
    SUITE(oracle_policy) \
    SUITE(decode) \
    SUITE(identities) \
    SUITE(chunked) \
    SUITE(evict) \
    SUITE(bench) \
    SUITE(blas_choice) \
    SUITE(jobs) \
    SUITE(threads) \
    SUITE(fuzz_findings)

#define SUITE(stem) Suite *make_##stem##_suite(void);
ALL_SUITES
#undef SUITE

#endif
