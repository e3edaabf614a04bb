/* Every mistake that an experiment file can hold: told with file and line, all of a file's in one go. */
#include <stdio.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/experiment/axes.h"
#include "harness/experiment/experiment.h"
#include "tests/lib/rows.h"
#include "tests/suites.h"

static void setup(void)
{
    rows_enter();
}

static void teardown(void)
{
    rows_leave();
}

/* Loads `yaml` as x.yaml, which must fail; the messages, with the folder's name left out. */
static char *errors_of(const char *yaml)
{
    struct experiment x;
    struct str errors = {0}, out = {0};
    struct err e;
    char *path = rows_path("x.yaml"), *folder = rows_path("");
    memset(&e, 0xFF, sizeof e);
    rows_write("x.yaml", yaml);
    ck_assert_msg(experiment_load(path, NULL, 0, 0, &x, &errors, &e) == -1, "accepted: %s", yaml);
    ck_assert_int_eq(e.code, ERR_CONFIG);
    for (const char *p = errors.p; *p;)
        if (strncmp(p, folder, strlen(folder)) == 0)
            p += strlen(folder);
        else
            str_addc(&out, *p++);
    mem_free(path);
    mem_free(folder);
    str_free(&errors);
    return str_take(&out);
}

START_TEST(all_mistakes_of_a_file_are_told_in_one_go)
{
    static const char yaml[] =
        "schema: 2\n"                                                                     /* 1 */
        "experiment: a/b\n"                                                               /* 2 */
        "model: [nosuch.h5, x.yaml]\n"                                                    /* 3 */
        "tasks:\n"                                                                        /* 4 */
        "  - passky\n"                                                                    /* 5 */
        "  - passkey: {lenth: 3, digits: 19}\n"                                           /* 6 */
        "  - jsonl: {metric: f2}\n"                                                       /* 7 */
        "samples: 0\n"                                                                    /* 8 */
        "template: chatml\n"                                                              /* 9 */
        "seed: -1\n"                                                                      /* 10 */
        "measure: [score, ppl]\n"                                                         /* 11 */
        "report: {plot: yes}\n"                                                           /* 12 */
        "record: {kept: maybe, scores: true, what: false}\n"                              /* 13 */
        "plugin: [a.so]\n"                                                                /* 14 */
        "compression_ratio: 0.6\n"                                                        /* 15 */
        "baselin: {policy: full}\n"                                                       /* 16 */
        "sweep:\n"                                                                        /* 17 */
        "  - {policy: snapvk, keep: 0.5}\n"                                               /* 18 */
        "  - {policy: {snapkv: {window: 0, kernl: 5}}, keep: [0.5, lots]}\n"              /* 19 */
        "  - {policy: knorm}\n"                                                           /* 20 */
        "  - {policy: knorm, keep: 0.5, keep_tokens: 3}\n"                                /* 21 */
        "  - {policy: knorm, keep_bytes: 3 apples, kep: 1}\n"                             /* 22 */
        "  - {policy: knorm, keep: 0.5, layer_budget: {single: {layr: 1}}}\n"             /* 23 */
        "  - {policy: knorm, keep: 0.5, head_budget: heads, prune_after: contex}\n"       /* 24 */
        "  - {policy: knorm, keep: 0.5, protect: {sink: 4, recent: many, question: 1}}\n" /* 25 */
        "  - {policy: random, keep: 0.5, policy_seed: [], max_new_tokens: 0}\n"           /* 26 */
        "  - random\n"                                                                    /* 27 */
        "  - {policy: {knorm: {}, tova: {}}, keep: [[0.5]]}\n"                            /* 28 */
        "  - {keep: 0.5}\n";                                                              /* 29 */
    static const char *const want[] = {
        "x.yaml:15: key 'compression_ratio' unknown: it is the removed fraction elsewhere; write keep, the fraction "
        "that stays: keep: 0.4",
        "x.yaml:16: key 'baselin' unknown; did you mean 'baseline'?",
        "x.yaml:22: key 'kep' unknown; did you mean 'keep'?",
        "x.yaml:1: schema: this program reads schema 1",
        "x.yaml:2: experiment 'a/b': no '/', comma, quote or leading dot",
        "x.yaml:8: samples: expected a whole number in [1, 1000000000], found '0'",
        "x.yaml:10: seed: expected a whole number in [0, 9223372036854775807], found '-1'",
        "x.yaml:9: template 'chatml' unknown; raw and chat are known",
        "x.yaml:12: report: only beside is known in this version",
        "x.yaml:11: measure: score, nll and kl are known",
        "x.yaml:14: plugin: policies from outside are not available in this version",
        "x.yaml:13: record: kept: true or false is expected, found 'maybe'",
        "x.yaml:13: record: scores is not available in this version",
        "x.yaml:13: record: key 'what' unknown; kept and scores are known",
        "x.yaml:3: model: no file 'nosuch.h5'",
        "x.yaml:3: model: x.yaml: not an HDF5 file, or truncated; model files end in .h5: depthkv import makes them",
        "x.yaml:5: task 'passky' unknown; did you mean 'passkey'? (see: depthkv list)",
        "x.yaml:6: passkey has no parameter 'lenth'; did you mean 'length'? (see: depthkv describe passkey)",
        "x.yaml:7: jsonl: parameter 'file' is required",
        "x.yaml:18: policy 'snapvk' unknown; did you mean 'snapkv'? (see: depthkv list)",
        "x.yaml:19: snapkv has no parameter 'kernl'; did you mean 'kernel'? (see: depthkv describe snapkv)",
        "x.yaml:19: keep: expected a fraction in (0, 1], found 'lots'",
        "x.yaml:20: a pruned block needs one of keep, keep_tokens, keep_bytes",
        "x.yaml:21: keep_tokens: a block takes one of keep, keep_tokens, keep_bytes",
        "x.yaml:22: keep_bytes: expected a size such as 8MiB, found '3 apples'",
        "x.yaml:23: single has no parameter 'layr'; did you mean 'layer'? (see: depthkv describe single)",
        "x.yaml:24: head_budget 'heads' unknown (see: depthkv list)",
        "x.yaml:24: prune_after 'contex' unknown; did you mean 'context'?; context, question, all_but_last and prompt "
        "are known",
        "x.yaml:25: protect: key 'sink' unknown; did you mean 'sinks'?",
        "x.yaml:25: recent: expected a whole number in [0, 100000000], found 'many'",
        "x.yaml:25: protect: question: true or false is expected, found '1'",
        "x.yaml:26: policy_seed: an empty list is no axis",
        "x.yaml:26: max_new_tokens: expected a whole number in [1, 1000000], found '0'",
        "x.yaml:27: sweep: a block is a map such as {policy: h2o, keep: 0.5}",
        "x.yaml:28: policy: expected a name or {name: {parameters}}, found a map of 2 keys; several are a list: [a, b]",
        "x.yaml:28: keep: expected one value, found a list or map",
        "x.yaml:29: a block of the sweep needs a policy",
    };
    char *got = errors_of(yaml);
    const char *p = got;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        char *line = mem_strndup(p, strcspn(p, "\n"));
        ck_assert_str_eq(line, want[i]);
        p += strlen(line) + (p[strlen(line)] == '\n');
        mem_free(line);
    }
    ck_assert_str_eq(p, "");
    mem_free(got);
}
END_TEST

/* A good file of 7 lines in which `line` (from 1) is replaced; the whole of what is said about it. */
START_TEST(every_mistake_alone_has_its_own_message)
{
    static const char *const good[] = {"schema: 1",      "experiment: x",
                                       "model: tiny.h5", "tasks: [passkey: {length: 400}]",
                                       "samples: 1",     "sweep: [{policy: knorm, keep: 0.5}]",
                                       "measure: score"};
    static const struct {
        int line;
        const char *text, *message;
    } c[] = {
        {1, "", "x.yaml:2: schema is missing: write schema: 1\n"},
        {2, "", "x.yaml:1: experiment: a name is missing\n"},
        {2, "experiment: [x]", "x.yaml:2: experiment: expected one value\nx.yaml:2: experiment: a name is missing\n"},
        {2, "experiment: .hidden", "x.yaml:2: experiment '.hidden': no '/', comma, quote or leading dot\n"},
        {3, "", "x.yaml:1: model is missing: a path, or a list of paths\n"},
        {3, "model: []", "x.yaml:3: model: the list is empty\n"},
        {3, "model: {a: b}", "x.yaml:3: model: expected a path\n"},
        {3, "model: [tiny.h5, tiny.h5]",
         "x.yaml:3: model: two models are named 'tiny', and rows could not tell them apart\n"},
        {4, "", "x.yaml:1: tasks is missing\n"},
        {4, "tasks: []", "x.yaml:4: task: the list is empty\n"},
        {4, "tasks: [passkey: {length: 4000}]",
         "x.yaml:4: task 'passkey': length 4000 exceeds the context of model 'tiny', 512\n"},
        {4, "tasks: [passkey: {length: 400, digits: 3, depth: 101}]",
         "x.yaml:4: passkey: parameter 'depth': expected number in [0, 100] or random, found '101'\n"},
        {4, "tasks: [passkey: {length: [[400]]}]", "x.yaml:4: parameter 'length': nested too deep\n"},
        {4, "tasks: [passkey: {length: {a: 1}}]", "x.yaml:4: parameter 'length': expected a value, found a map\n"},
        {4, "tasks: [passkey: {length: []}]", "x.yaml:4: parameter 'length': an empty list is no axis\n"},
        {4, "tasks: [passkey: 400]", "x.yaml:4: task 'passkey': expected {parameter: value}\n"},
        {4, "tasks: [jsonl: {file: no.jsonl}]", "x.yaml:4: jsonl: parameter 'file': no file 'no.jsonl'\n"},
        {4, "tasks: [jsonl: {file: bad.jsonl}]",
         "x.yaml:4: task 'jsonl': bad.jsonl:2: field 'answers' is missing; there are context (parameter "
         "'answers_field' names another)\n"},
        {4, "tasks: [jsonl: {file: good.jsonl, question_field: contxt}]",
         "x.yaml:4: task 'jsonl': parameter 'question_field': no record of good.jsonl has a field 'contxt'; did you "
         "mean 'context'?\n"},
        {4, "tasks:\n  - jsonl:\n      file: good.jsonl\n      id_field: key",
         "x.yaml:7: task 'jsonl': parameter 'id_field': no record of good.jsonl has a field 'key'; there are context, "
         "answers\n"},
        {4, "tasks: [jsonl: {file: good.jsonl, metric: [f2]}]",
         "x.yaml:4: metric 'f2' unknown; did you mean 'f1'? (see: depthkv list metrics)\n"},
        {5, "", "x.yaml:1: samples is missing\n"},
        {5, "samples: [1]", "x.yaml:5: samples: expected a whole number in [1, 1000000000], found a list or map\n"},
        {5, "samples: 1.5", "x.yaml:5: samples: expected a whole number in [1, 1000000000], found '1.5'\n"},
        {6, "", "x.yaml:1: sweep: expected a list of blocks\n"},
        {6, "sweep: {policy: knorm, keep: 0.5}", "x.yaml:6: sweep: expected a list of blocks\n"},
        {6, "sweep: [{policy: knorm, keep: 0.5, max_new_tokens: 400}]",
         "x.yaml:4: task 'passkey': length 400 leaves nothing for the prompt: max_new_tokens is 400 (it counts)\n"},
        {6, "sweep: [{policy: knorm, keep: 0.5, layer_budget: {proportional: [1, 2]}}]",
         "x.yaml:6: layer_budget: proportional: 2 weights for a model of 3 layers (model tiny)\n"},
        {6, "sweep: [{policy: knorm, keep: 0.5, layer_budget: {single: {layer: 3}}}]",
         "x.yaml:6: layer_budget: single: layer 3 of a model with layers 0 to 2 (model tiny)\n"},
        {6, "sweep: [{policy: knorm, keep: 0.5, layer_budget: {single: {}}}]",
         "x.yaml:6: single: parameter 'layer' is required\n"},
        {6, "sweep: [{policy: knorm, keep: 0.5, layer_budget: [mga, {knapsack: {policy: knorm}}]}]",
         "x.yaml:6: mga: parameter 'profile' is required; one at the top of the file serves all: profile: FILE.h5\n"
         "x.yaml:6: knapsack: parameter 'profile' is required; one at the top of the file serves all: profile: "
         "FILE.h5\n"},
        {7, "profile: [a.h5, b.h5]",
         "x.yaml:7: profile: expected one path of a profile.h5; several are an axis: write them at the layer budgets "
         "that read them\n"},
        {7, "profile:",
         "x.yaml:7: profile: expected one path of a profile.h5; several are an axis: write them at the layer budgets "
         "that read them\n"},
        {6, "sweep: [{policy: knorm, keep_tokens: 0}]",
         "x.yaml:6: keep_tokens: expected a whole number of at least 1, found '0'\n"},
        {6, "sweep: [{policy: knorm, keep: 50%}]",
         "x.yaml:6: keep: expected a fraction in (0, 1], found '50%'; write 0.5\n"},
        {6, "sweep: [{policy: knorm, keep: 1.0001}]",
         "x.yaml:6: keep: expected a fraction in (0, 1], found '1.0001'\n"},
        {6, "sweep: [{policy: {}, keep: 1}]",
         "x.yaml:6: policy: expected a name or {name: {parameters}}, found a map of 0 keys\n"},
        {6, "sweep: [{policy: knorm, keep: 1, protect: all}]",
         "x.yaml:6: protect: expected a map such as {sinks: 4, recent: 32}, found 'all'\n"},
        {6, "sweep: [{policy: knorm, keep: 1, protect: {boundary: 0.6}}]",
         "x.yaml:6: protect: boundary: expected a fraction in [0, 0.5], found '0.6'\n"},
        {6, "sweep: [{policy: knorm, keep: 1, protect: {own: 1}}]",
         "x.yaml:6: protect: own: true or false is expected, found '1'\n"},
        {6, "sweep: [{policy: oracle, keep: 0.5, decode: evict}]",
         "x.yaml:6: policy 'oracle' reads the answer's attention on the full cache of the whole prompt: only prefill: "
         "full with decode: frozen\n"},
        {6, "sweep: [{policy: oracle, keep: 0.5, prefill: {chunked: {size: 64}}}]",
         "x.yaml:6: policy 'oracle' reads the answer's attention on the full cache of the whole prompt: only prefill: "
         "full with decode: frozen\n"},
        {6, "sweep: [{policy: knorm, keep: 1, samples: 4}]",
         "x.yaml:6: key 'samples' unknown: it stands at the top of the file, not in a block\n"},
        {6, "sweep: [{press_name: knorm, policy: knorm, keep: 1}]",
         "x.yaml:6: key 'press_name' unknown: write policy\n"},
        {6, "sweep: [{policy: knorm, keep: 1, window: prune}]",
         "x.yaml:6: key 'window' unknown; did you mean 'windows'?\n"},
        {6, "sweep: [{policy: knorm, keep: 1, window: 32}]",
         "x.yaml:6: key 'window' unknown: it is a parameter and goes inside: policy: {snapkv: {window: 32}}\n"},
        {6, "sweep: [{policy: knorm, keep_bytes: 383}]",
         "x.yaml:6: keep_bytes 383 is below one entry of 3 layers with 2 KV heads of 64 bytes each (384 bytes) (model "
         "tiny)\n"},
        {6, "sweep: [{policy: knorm, keep: 1, protect: {first_layers: 4}}]",
         "x.yaml:6: protect: first_layers 4 of a model with 3 layers (model tiny)\n"},
        {7, "measure: []", "x.yaml:7: measure: an empty list; score, nll and kl are known\n"},
        {7, "template: chat",
         "x.yaml:7: template: model 'tiny': the model has no chat template (a base model, mostly); take raw, or "
         "spell its pieces out: {begin: \"...\", system: \"...\", user: [\"...\", \"...\"], assistant: \"...\"}\n"},
        {7, "template: {chat: {system: \"Be brief.\"}}",
         "x.yaml:7: template: model 'tiny': the model has no chat template (a base model, mostly); take raw, or "
         "spell its pieces out: {begin: \"...\", system: \"...\", user: [\"...\", \"...\"], assistant: \"...\"}\n"},
        {7, "template: {chat: Be brief.}",
         "x.yaml:7: template: chat: expected {chat: {system: \"...\"}} and nothing beside it, or chat alone\n"},
        {7, "template: {chat: {system: a}, assistant: b}",
         "x.yaml:7: template: chat: expected {chat: {system: \"...\"}} and nothing beside it, or chat alone\n"},
        {7, "template: {chat: {sytem: a}}",
         "x.yaml:7: template: chat: expected {chat: {system: \"...\"}} and nothing beside it, or chat alone\n"},
        {7, "template: {user: [a, b], assistant: c, sytem: d}",
         "x.yaml:7: template: key 'sytem' unknown; did you mean 'system'?; known are begin, system, user, assistant; "
         "or chat alone\n"},
        {7, "template: {user: a, assistant: c}",
         "x.yaml:7: template: user: expected two texts, what stands before a user's message and behind it\n"},
        {7, "template: {user: [a, b]}",
         "x.yaml:7: template: assistant is missing: what stands before the answer (\"\" for nothing)\n"},
        {7, "template: {user: [a, [b]], assistant: c}",
         "x.yaml:7: template: user: expected a text; write it in double quotes, \"\" for none\n"},
        {7, "template: [chat]",
         "x.yaml:7: template: expected raw, chat, {chat: {system: \"...\"}}, or pieces {begin, system, user, "
         "assistant}\n"},
        {7, "include: [a, b]", "x.yaml:7: include: expected a path\n"},
    };
    rows_write("bad.jsonl", "{\"context\": \"c\", \"answers\": []}\n{\"context\": \"d\"}\n");
    rows_write("good.jsonl", "{\"context\": \"c\", \"answers\": []}\n");
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct str y = {0};
        for (int l = 1; l <= 7; l++) {
            str_add(&y, l == c[i].line ? c[i].text : good[l - 1]);
            str_addc(&y, '\n');
        }
        char *got = errors_of(y.p);
        ck_assert_msg(strcmp(got, c[i].message) == 0, "case %zu (%s):\n%s", i, c[i].text, got);
        mem_free(got);
        str_free(&y);
    }
}
END_TEST

/* What people write who come from other tools, miss a step or slip in the form: a line of the good file, and words that
 * the first message must hold; the fix is named. */
START_TEST(messages_name_the_fix)
{
    static const char *const good[] = {"schema: 1",      "experiment: x",
                                       "model: tiny.h5", "tasks: [passkey: {length: 400}]",
                                       "samples: 1",     "sweep: [{policy: knorm, keep: 0.5}]",
                                       "measure: score"};
    static const struct {
        int line;
        const char *text, *message;
    } c[] = {
        /* form */
        {6, "sweep:\n\t- {policy: knorm, keep: 1}", "x.yaml:7: a tab: indent with spaces"},
        {6, "sweep:\n  - policy: knorm\n\t  keep: 1", "x.yaml:8: a tab: indent with spaces"},
        {6, "sweep:\n  -\tpolicy: knorm\n    keep: 1", "x.yaml:7: a tab: indent with spaces"},
        {6, "sweep:\n  - policy: knorm\n      keep: 1",
         "x.yaml:8: mapping values are not allowed in this context: a key "
         "stands further in than the line above allows"},
        {6, "sweep:\n  - policy: knorm\n   keep: 1",
         "x.yaml:8: did not find expected '-' indicator: the items of one list "
         "begin with '- ' in the same column, the keys of an item in that of"},
        {6, "sweep:\n  - policy: knorm\n - policy: tova",
         "x.yaml:8: did not find expected key: the keys of one map begin in the same column"},
        {6, "sweep: - policy: knorm", "a list stands on lines of its own below its key"},
        {7, "measure score", "could not find expected ':': a key is followed by ': '"},
        {7, "measure: [score", "a [ is not closed (it begins in line 7)"},
        {7, "template: {user: [a, b]", "a { is not closed (it begins in line 7)"},
        {7, "measure: \"score", "a quote is not closed (it begins in line 7)"},
        {7, "measure: @score", "a text that begins with this character goes into quotes"},
        /* budgets */
        {6, "sweep: [{policy: knorm, keep: 25}]",
         "found '25'; 25 % is keep: 0.25, and 25 entries of every head are keep_tokens: 25\n"},
        {6, "sweep: [{policy: knorm, keep: [0.5, 512]}]",
         "found '512'; 512 entries of every head are keep_tokens: 512\n"},
        {6, "sweep: [{policy: knorm, keep: 25 %}]", "found '25 %'; write 0.25\n"},
        {6, "sweep: [{policy: knorm, keep: 1/4}]", "found '1/4'; write 0.25\n"},
        {6, "sweep: [{policy: knorm, keep: '0,25'}]", "found '0,25'; write 0.25\n"},
        {6, "sweep: [{policy: knorm, keep: -0.5}]", "found '-0.5'; it is the fraction that stays\n"},
        {6, "sweep: [{policy: knorm, keep: 8MiB}]", "for bytes write keep_bytes: 8MiB\n"},
        {6, "sweep: [{policy: knorm, keep: all}]", "the whole cache is policy: full\n"},
        {6, "sweep: [{policy: knorm, keep_tokens: 0.5}]", "found '0.5'; a fraction is keep: 0.5\n"},
        {6, "sweep: [{policy: knorm, keep_tokens: 25%}]", "found '25%'; a fraction is keep: 0.25\n"},
        {6, "sweep: [{policy: knorm, keep_bytes: 0.5}]", "found '0.5'; a fraction is keep: 0.5\n"},
        {6, "sweep: [{policy: knorm, compression_ratio: 0.75}]", "write keep, the fraction that stays: keep: 0.25\n"},
        {6, "sweep: [{policy: knorm, compression_ratio: [0.1, 0.2]}]",
         "the fraction that stays: keep: 0.25 for 0.75\n"},
        {6, "sweep: [{policy: {knorm: {compression_ratio: 0.5}}, keep: 1}]",
         "knorm has no parameter 'compression_ratio'; keep, the fraction that stays, stands beside policy"},
        /* parameters that stand in another place */
        {6, "sweep: [{policy: snapkv, window: 32, keep: 1}]",
         "key 'window' unknown: it is a parameter and goes inside: policy: {snapkv: {window: 32}}\n"},
        {6, "sweep: [{policy: h2o, normalise: visible, keep: 1}]", "policy: {h2o: {normalise: visible}}\n"},
        {6, "sweep: [{policy: knorm, layer_budget: mga, rho_max: 0.9, keep: 1}]",
         "layer_budget: {mga: {rho_max: 0.9}}\n"},
        {6, "sweep: [{policy: knorm, length: 400, keep: 1}]", ": {length: 400}]\n"},
        {6, "sweep: [{policy: knorm, first_layers: 1, keep: 1}]", "write protect: {first_layers: 1}\n"},
        {6, "sweep:\n  - policy:\n      snapkv:\n      window: 32\n    keep: 1",
         "x.yaml:9: policy: 'window' stands beside snapkv instead of inside: indent it further than snapkv, or write "
         "{snapkv: {window: ...}}\n"},
        {4, "tasks:\n  - passkey:\n    length: 400",
         "x.yaml:6: task: 'length' stands beside passkey instead of inside"},
        {6, "sweep:\n  - snapkv:\n      window: 32\n    keep: 1",
         "x.yaml:7: key 'snapkv' unknown: write policy: snapkv"},
        {7, "passkey: {length: 3}", "key 'passkey' unknown: it is a task: tasks: [passkey]\n"},
        {6, "sweep: [{policy: {snapkv: {window_size: 32}}, keep: 1}]",
         "no parameter 'window_size'; did you mean 'window'?"},
        /* names of other tools */
        {6, "sweep: [{policy: SnapKVPress, keep: 1}]", "'SnapKVPress' unknown; here it is policy: snapkv (see"},
        {6, "sweep: [{policy: KnormPress, keep: 1}]", "here it is policy: knorm (see"},
        {6, "sweep: [{policy: TOVAPress, keep: 1}]", "here it is policy: tova (see"},
        {6, "sweep: [{policy: KeyDiffPress, keep: 1}]", "here it is policy: keydiff (see"},
        {6, "sweep: [{policy: RandomPress, keep: 1}]", "here it is policy: random (see"},
        {6, "sweep: [{policy: StreamingLLMPress, keep: 1}]", "here it is policy: streaming (see"},
        {6, "sweep: [{policy: streaming_llm, keep: 1}]", "here it is policy: streaming (see"},
        {6, "sweep: [{policy: ObservedAttentionPress, keep: 1}]",
         "here it is policy: {h2o: {recent: 0, normalise: visible}} (see"},
        {6, "sweep: [{policy: PyramidKVPress, keep: 1}]", "here it is policy: snapkv, layer_budget: pyramidkv (see"},
        {6, "sweep: [{policy: SimLayerKVPress, keep: 1}]", "here it is layer_budget: simlayerkv beside a policy (see"},
        {6, "sweep: [{policy: PerLayerCompressionPress, keep: 1}]", "here it is layer_budget: {vector: [...]}"},
        {6, "sweep: [{policy: DecodingPress, keep: 1}]", "here it is decode: {interval: N} beside a policy (see"},
        {6, "sweep: [{policy: KeyRerotationPress, keep: 1}]", "here it is positions: packed beside a policy (see"},
        {6, "sweep: [{policy: KVzipPress, keep: 1}]", "this press of kvpress has no counterpart here (see"},
        {6, "sweep: [{policy: pyramidkv, keep: 1}]", "it is a layer budget: layer_budget: pyramidkv beside a policy"},
        {6, "sweep: [{policy: knorm, layer_budget: snapkv, keep: 1}]", "it is a policy: policy: snapkv"},
        {6, "sweep: [{presses: knorm, keep: 1}]", "write policy; a list is an axis"},
        {7, "max_gen_toks: 3", "write max_new_tokens\n"},
        {7, "num_fewshot: 5", "what a prompt shows ahead is the task's"},
        {7, "limit: 5", "write samples, or use --limit\n"},
        {7, "apply_chat_template: true", "write template: chat\n"},
        /* models */
        {3, "model: HuggingFaceTB/SmolLM2-135M-Instruct", "then depthkv import FOLDER -o model.h5\n"},
        {3, "model: m.gguf", "make a model file of it first: depthkv import m.gguf -o model.h5\n"},
        {3, "model: here.gguf",
         "not an HDF5 file, or truncated; make a model file of it first: depthkv import here.gguf"},
        {3, "model: hf/model.safetensors", "make a model file of it first: depthkv import hf -o model.h5\n"},
        {3, "model: .", "a folder of the Hugging Face form becomes a model file by: depthkv import "},
        {3, "model: pytorch_model.bin", "pickled weights are not read"},
        {3, "model: tiny", "model files end in .h5: depthkv import makes them\n"},
        {3, "model: no/smollm2-135m-instruct.h5", "make smollm2 fetches it\n"},
        /* records */
        {4, "tasks: [jsonl: {file: answer.jsonl}]",
         "field 'answers' is missing; did you mean 'answer'? (parameter 'answers_field' names another)\n"},
    };
    rows_write("here.gguf", "GGUF");
    rows_write("answer.jsonl", "{\"context\": \"c\", \"answer\": \"a\"}\n");
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        struct str y = {0};
        for (int l = 1; l <= 7; l++) {
            str_add(&y, l == c[i].line ? c[i].text : good[l - 1]);
            str_addc(&y, '\n');
        }
        char *got = errors_of(y.p);
        ck_assert_msg(strstr(got, c[i].message) != NULL, "case %zu (%s):\n%s", i, c[i].text, got);
        mem_free(got);
        str_free(&y);
    }
}
END_TEST

START_TEST(what_is_no_map_or_no_text_is_told_apart)
{
    static const struct {
        const char *text, *message;
    } c[] = {{"- a\n- b\n", "x.yaml:1: expected a map of keys at the top\n"},
             {"just words\n", "x.yaml:1: expected a map of keys at the top\n"},
             {"schema: [1\n", "x.yaml:2: did not find expected ',' or ']': a [ is not closed (it begins in line 1)\n"},
             {"", "x.yaml:1: the file is empty\n"}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        char *got = errors_of(c[i].text);
        ck_assert_str_eq(got, c[i].message);
        mem_free(got);
    }
}
END_TEST

START_TEST(more_than_a_hundred_mistakes_are_counted)
{
    struct str y = {0};
    str_add(&y, "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 400}]\nsamples: 1\nsweep:\n");
    for (int i = 0; i < 150; i++)
        str_addf(&y, "  - {policy: knorm, keep: %d}\n", i + 2);
    char *got = errors_of(y.p);
    int lines = 0;
    for (const char *p = got; *p; p++)
        lines += *p == '\n';
    ck_assert_int_eq(lines, 101);
    ck_assert_ptr_nonnull(strstr(got, "x.yaml:106: keep: expected a fraction in (0, 1], found '101'; 101 entries of "
                                      "every head are keep_tokens: 101\n... and 50 more\n"));
    mem_free(got);
    str_free(&y);
}
END_TEST

START_TEST(a_command_line_says_which_set_is_wrong)
{
    static const char yaml[] = "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 400}]\nsamples: "
                               "1\nsweep: [{policy: knorm, keep: 0.5}]\n";
    static const char *const set[] = {"sweep.0.keep=2", "nonsense", "sweep.4.keep=1", "sed=1", "seed=[", "samples="};
    struct experiment x;
    struct str errors = {0};
    char *path = rows_path("x.yaml");
    rows_write("x.yaml", yaml);
    ck_assert_int_eq(experiment_load(path, set, 6, 0, &x, &errors, NULL), -1);
    ck_assert_str_eq(errors.p, "--set nonsense: expected KEY=VALUE\n"
                               "--set sweep.4.keep: nothing stands at 'sweep.4'\n"
                               "--set seed:2: did not find expected node content\n"
                               "--set samples:1: the file is empty\n"
                               "--set sed:1: key 'sed' unknown; did you mean 'seed'?\n"
                               "--set sweep.0.keep:1: keep: expected a fraction in (0, 1], found '2'; 2 % is keep: "
                               "0.02, and 2 entries of every head are keep_tokens: 2\n");
    mem_free(path);
    str_free(&errors);
}
END_TEST

/* For every axis of the table: a value that none can have, above a block that has one. */
START_TEST(what_stands_at_the_top_is_checked_though_every_block_overrides_it)
{
    static const char block[] =
        "policy: knorm, layer_budget: uniform, head_budget: shared, protect: none, prune_after: "
        "prompt, prefill: full, decode: frozen, positions: original, policy_seed: 1, "
        "weight_dtype: f32, max_new_tokens: 2, windows: keep";
    for (int i = 0; i < axes_count(); i++)
        for (int k = 0; axes_key(i, k); k++) {
            struct str y = {0}, begin = {0};
            str_addf(&y,
                     "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 400}]\nsamples: 1\n%s: [{no: "
                     "such}, [thing]]\nsweep: [{%s, keep: 0.5}, {%s, keep_tokens: 5}]\n",
                     axes_key(i, k), block, block);
            char *got = errors_of(y.p);
            str_addf(&begin, "x.yaml:6: %s", axes_key(i, k));
            ck_assert_msg(strncmp(got, begin.p, begin.n) == 0, "%s: %s", axes_key(i, k), got);
            mem_free(got);
            str_free(&y);
            str_free(&begin);
        }
}
END_TEST

static void load_with(const char *yaml, const char *const *set, int n_set, struct experiment *x)
{
    struct str errors = {0};
    char *path = rows_path("x.yaml");
    rows_write("x.yaml", yaml);
    ck_assert_msg(experiment_load(path, set, n_set, 0, x, &errors, NULL) == 0, "%s", errors.p);
    mem_free(path);
}

START_TEST(what_stands_at_the_top_in_vain_is_told)
{
    static const char yaml[] =
        "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 400}]\nsamples: 1\n"
        "include: common.yaml\nkeep: 0.2\nprune_after: prompt\npositions: original\ndecode: evict\n"
        "sweep:\n  - {policy: knorm, keep_tokens: 5, positions: packed, decode: frozen}\n"
        "  - {policy: random, keep: 0.5, positions: packed, decode: frozen, policy_seed: 2}\n";
    static const char *const set[] = {"keep=0.4"}, *const good[] = {"sweep.1.keep=0.4"};
    struct experiment x, again;
    struct str errors = {0}, want = {0};
    char *path = rows_path("x.yaml");
    rows_write("common.yaml", "head_budget: shared\nmax_new_tokens: 3\npolicy_seed: 7\n");
    load_with(yaml, NULL, 0, &x); /* a default said aloud misleads nobody; an included file serves others too */
    str_addf(&want,
             "%s:7: keep stands at the top, but every block of the sweep has its own: no cell uses it\n"
             "%s:10: decode stands at the top, but every block of the sweep has its own: no cell uses it\n",
             path, path);
    ck_assert_str_eq(str_c(&x.unused), want.p);
    load_with(x.resolved.p, NULL, 0, &again); /* config.yaml has what is used, and says nothing in vain */
    ck_assert_str_eq(str_c(&again.unused), "");
    ck_assert_int_eq(again.n_cell, x.n_cell);
    for (int c = 0; c < x.n_cell; c++)
        ck_assert_str_eq(again.cell[c].id, x.cell[c].id);
    experiment_fini(&again);
    experiment_fini(&x);
    rows_write("x.yaml", yaml);
    ck_assert_int_eq(experiment_load(path, set, 1, 0, &x, &errors, NULL), -1);
    ck_assert_str_eq(errors.p,
                     "--set keep: every block of the sweep has its own, so that no cell would use this one; name "
                     "the block: --set sweep.0.keep=...\n");
    load_with(yaml, good, 1, &x);
    experiment_fini(&x);
    mem_free(path);
    str_free(&errors);
    str_free(&want);
}
END_TEST

START_TEST(a_missing_file_is_named)
{
    struct experiment x;
    struct str errors = {0};
    struct err e;
    ck_assert_int_eq(experiment_load("/nonexistent/x.yaml", NULL, 0, 0, &x, &errors, &e), -1);
    ck_assert_str_eq(errors.p, "/nonexistent/x.yaml: No such file or directory\n");
    ck_assert_str_eq(e.msg, "/nonexistent/x.yaml: No such file or directory");
    ck_assert_int_eq(e.code, ERR_CONFIG);
    str_free(&errors);
}
END_TEST

Suite *make_experiment_errors_suite(void)
{
    Suite *s = suite_create("experiment_errors");
    TCase *t = tcase_create("experiment_errors");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, all_mistakes_of_a_file_are_told_in_one_go);
    tcase_add_test(t, every_mistake_alone_has_its_own_message);
    tcase_add_test(t, messages_name_the_fix);
    tcase_add_test(t, what_is_no_map_or_no_text_is_told_apart);
    tcase_add_test(t, more_than_a_hundred_mistakes_are_counted);
    tcase_add_test(t, a_command_line_says_which_set_is_wrong);
    tcase_add_test(t, what_stands_at_the_top_is_checked_though_every_block_overrides_it);
    tcase_add_test(t, what_stands_at_the_top_in_vain_is_told);
    tcase_add_test(t, a_missing_file_is_named);
    suite_add_tcase(s, t);
    return s;
}
