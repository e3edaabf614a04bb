#include "harness/experiment/experiment_habits.h"

#include <ctype.h>
#include <string.h>

#include "datasets/dataset.h"
#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "policies/allocator.h"
#include "policies/policy.h"

/* Keys of kvpress, KVCache-Factory, lm-evaluation-harness and papers. */
static const struct {
    const char *key, *hint;
} keys[] = {
    {"press_name", "write policy"},
    {"press", "write policy"},
    {"presses", "write policy; a list is an axis: policy: [snapkv, knorm]"},
    {"method", "write policy"},
    {"methods", "write policy; a list is an axis: policy: [snapkv, knorm]"},
    {"dataset", "write tasks"},
    {"benchmark", "write tasks"},
    {"model_path", "write model"},
    {"model_name", "write model"},
    {"model_args", "write model: the path of a model file"},
    {"pretrained", "write model: the path of a model file"},
    {"keep_ratio", "write keep, the fraction that stays: keep: 0.25"},
    {"retention", "write keep, the fraction that stays: keep: 0.25"},
    {"budget", "write keep (a fraction), keep_tokens or keep_bytes"},
    {"kv_budget", "write keep (a fraction), keep_tokens or keep_bytes"},
    {"target_size", "write keep_tokens"},
    {"cache_size", "write keep_tokens or keep_bytes"},
    {"max_capacity_prompt", "write keep_tokens"},
    {"max_capacity_prompts", "write keep_tokens"},
    {"max_cache_length", "write keep (a fraction) or keep_tokens"},
    {"window_size", "it is a parameter: policy: {snapkv: {window: 32}}"},
    {"kernel_size", "it is a parameter: policy: {snapkv: {kernel: 5}}"},
    {"heavy_ratio", "H2O's budget is keep; its recents a parameter: policy: {h2o: {recent: 32}}"},
    {"recent_size", "write protect: {recent: 32}"},
    {"start_size", "write policy: {streaming: {sinks: 4}}"},
    {"n_sink", "write protect: {sinks: 4}, or policy: {streaming: {sinks: 4}}"},
    {"compression_interval", "write decode: {interval: 512}"},
    {"chunk_size", "write prefill: {chunked: {size: 1024}}"},
    {"chunk_length", "write prefill: {chunked: {size: 1024}}"},
    {"query_aware", "write prune_after: question"},
    {"fraction", "write samples, or use --limit"},
    {"limit", "write samples, or use --limit"},
    {"num_samples", "write samples"},
    {"n_samples", "write samples"},
    {"num_fewshot", "what a prompt shows ahead is the task's: its parameters, or the context of your own records"},
    {"max_gen_toks", "write max_new_tokens"},
    {"max_gen_tokens", "write max_new_tokens"},
    {"max_tokens", "write max_new_tokens"},
    {"max_length", "lengths are a task's: tasks: [niah_single_1: {length: 4096}]"},
    {"max_context_length", "lengths are a task's: tasks: [niah_single_1: {length: 4096}]"},
    {"context_length", "lengths are a task's: tasks: [niah_single_1: {length: 4096}]"},
    {"metric", "it is a parameter of the task jsonl; measure is score, nll, kl"},
    {"metrics", "metrics are a task's; measure is score, nll, kl"},
    {"apply_chat_template", "write template: chat"},
    {"chat_template", "write template: chat"},
    {"system_instruction", "write template: {chat: {system: ...}}"},
    {"dtype", "write weight_dtype: f32 or bf16"},
    {"torch_dtype", "write weight_dtype: f32 or bf16"},
    {"batch_size", "nothing to set: cells of one prompt decode together, within --memory"},
    {"device", "nothing to set: everything runs on the processor, with --threads"},
    {"gen_kwargs", "decoding is greedy; write max_new_tokens"},
    {"generation_kwargs", "decoding is greedy; write max_new_tokens"},
    {"temperature", "decoding is greedy"},
    {"do_sample", "decoding is greedy"},
    {"top_p", "decoding is greedy"},
    {"threads", "use run --threads"},
    {"n_threads", "use run --threads"},
    {"memory", "use run --memory"},
    {"output_dir", "use run -o DIR"},
    {"output_path", "use run -o DIR"},
    {"output", "use run -o DIR"},
};

/* Keys of the top of a file, which are no axes. */
static const char *const only_at_the_top[] = {
    "schema",  "experiment", "model",  "tasks",   "template", "samples", "first_sample", "seed",
    "measure", "baseline",   "record", "include", "report",   "sweep",   "relative_to",  "profile"};

static const char *const protections[] = {"sinks", "recent", "question", "first_layers", "compensate", "boundary"};

/* kvpress 0.5.5's presses and other names of policies, in small letters and digits, without "press". NULL: it has no
 * counterpart here. */
static const struct {
    const char *name, *here;
} names[] = {
    {"no", "policy: full"},
    {"none", "policy: full"},
    {"fullkv", "policy: full"},
    {"fullcache", "policy: full"},
    {"dense", "policy: full"},
    {"knorm", "policy: knorm"},
    {"l2norm", "policy: knorm"},
    {"snapkv", "policy: snapkv"},
    {"tova", "policy: tova"},
    {"keydiff", "policy: keydiff"},
    {"streamingllm", "policy: streaming"},
    {"sinkcache", "policy: streaming"},
    {"slidingwindow", "policy: {streaming: {sinks: 0}}"},
    {"random", "policy: random"},
    {"h2o", "policy: h2o"},
    {"heavyhitter", "policy: h2o"},
    {"observedattention", "policy: {h2o: {recent: 0, normalise: visible}}"},
    {"pyramidkv", "policy: snapkv, layer_budget: pyramidkv"},
    {"pyramid", "policy: snapkv, layer_budget: pyramidkv"},
    {"simlayerkv", "layer_budget: simlayerkv beside a policy"},
    {"perlayercompression", "layer_budget: {vector: [...]}, the fraction that stays in each layer, beside a policy"},
    {"decoding", "decode: {interval: N} beside a policy"},
    {"prefilldecoding", "decode: {interval: N} beside a policy"},
    {"compressionratiodecoding", "decode: {interval: N} beside a policy"},
    {"chunk", "prefill: {chunked: {size: N}} beside a policy is nearest"},
    {"keyrerotation", "positions: packed beside a policy"},
};

/* Small letters and digits of a name, without "Press" behind it; caller frees. 1: it had it. */
static int fold(const char *name, char **out)
{
    struct str s = {0};
    for (const char *p = name; *p; p++)
        if (isalnum((unsigned char)*p))
            str_addc(&s, (char)tolower((unsigned char)*p));
    static const char press[] = "press";
    size_t k = sizeof press - 1;
    int is_press = s.n > k && strcmp(s.p + s.n - k, press) == 0;
    if (is_press)
        s.p[s.n -= k] = '\0';
    *out = s.p ? str_take(&s) : mem_strdup("");
    return is_press;
}

static int has(const struct param *params, const char *key)
{
    return params && param_find(params, key) != NULL;
}

/* Whose parameter `key` is: that of the block's own policy or layer budget, if it is, or else of the first that has it.
 */
static int parameter_of(const struct conf *map, const char *key, const char *value, struct str *out)
{
    const char *text = value ? value : "...";
    const struct conf *policy = conf_get(map, "policy"), *spread = conf_get(map, "layer_budget");
    const struct policy_ops *mine = policy && policy->kind == CONF_SCALAR ? policy_find(policy->text) : NULL;
    const struct allocator_ops *my_spread = spread && spread->kind == CONF_SCALAR ? allocator_find(spread->text) : NULL;
    if (mine && has(mine->params, key)) {
        str_addf(out, ": it is a parameter and goes inside: policy: {%s: {%s: %s}}", mine->name, key, text);
        return 1;
    }
    if (my_spread && has(my_spread->params, key)) {
        str_addf(out, ": it is a parameter and goes inside: layer_budget: {%s: {%s: %s}}", my_spread->name, key, text);
        return 1;
    }
    for (size_t i = 0; i < sizeof protections / sizeof *protections; i++)
        if (!strcmp(key, protections[i])) {
            str_addf(out, ": write protect: {%s: %s}", key, text);
            return 1;
        }
    for (int i = 0; i < policy_count(); i++)
        if (has(policy_at(i)->params, key)) {
            str_addf(out, ": it is a parameter and goes inside: policy: {%s: {%s: %s}}", policy_at(i)->name, key, text);
            return 1;
        }
    for (int i = 0; i < allocator_count(); i++)
        if (has(allocator_at(i)->params, key)) {
            str_addf(out, ": it is a parameter and goes inside: layer_budget: {%s: {%s: %s}}", allocator_at(i)->name,
                     key, text);
            return 1;
        }
    for (int i = 0; i < dataset_count(); i++)
        if (has(dataset_params(dataset_at(i)), key)) {
            str_addf(out, ": it is a parameter and goes inside: tasks: [%s: {%s: %s}]", dataset_at(i)->name, key, text);
            return 1;
        }
    return 0;
}

static int ratio(const char *key, const char *text, struct str *out)
{
    double removed;
    if (strcmp(key, "compression_ratio") != 0 && strcmp(key, "compression_ratios") != 0 &&
        strcmp(key, "sparsity") != 0 && strcmp(key, "pruning_ratio") != 0)
        return 0;
    str_add(out, ": it is the removed fraction elsewhere; write keep, the fraction that stays: keep: ");
    if (text && str_to_double(text, &removed) == 0 && removed >= 0 && removed < 1)
        str_addf(out, "%.6g", 1 - removed);
    else
        str_add(out, "0.25 for 0.75");
    return 1;
}

void experiment_habits_key(const struct conf *map, int at, int top, struct str *out)
{
    const char *key = map->key[at], *text = map->item[at]->kind == CONF_SCALAR ? map->item[at]->text : NULL;
    if (ratio(key, text, out))
        return;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!strcmp(key, keys[i].key)) {
            str_addf(out, ": %s", keys[i].hint);
            return;
        }
    for (size_t i = 0; !top && i < sizeof only_at_the_top / sizeof *only_at_the_top; i++)
        if (!strcmp(key, only_at_the_top[i])) {
            str_add(out, ": it stands at the top of the file, not in a block");
            return;
        }
    if (parameter_of(map, key, text, out))
        return;
    if (policy_find(key))
        str_addf(out, ": write policy: %s; its parameters are indented below its name", key);
    else if (allocator_find(key))
        str_addf(out, ": write layer_budget: %s; its parameters are indented below its name", key);
    else if (dataset_find(key))
        str_addf(out, ": it is a task: tasks: [%s]", key);
}

void experiment_habits_name(const char *what, const char *name, struct str *out)
{
    int policy = !strcmp(what, "policy"), allocator = !strcmp(what, "layer_budget"), is_press;
    char *folded;
    if (policy && allocator_find(name)) {
        str_addf(out, "; it is a layer budget: layer_budget: %s beside a policy", name);
        return;
    }
    if (allocator && policy_find(name)) {
        str_addf(out, "; it is a policy: policy: %s", name);
        return;
    }
    if (!policy && !allocator)
        return;
    is_press = fold(name, &folded);
    const char *here = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && !here; i++)
        if (!strcmp(folded, names[i].name))
            here = names[i].here;
    if (here && (policy || strncmp(here, "policy", 6) != 0))
        str_addf(out, "; here it is %s", here);
    else if (is_press)
        str_add(out, "; this press of kvpress has no counterpart here");
    mem_free(folded);
}

void experiment_habits_parameter(const char *name, const char *const *known, int n, struct str *out)
{
    static const char *const beside[] = {"keep", "keep_tokens", "keep_bytes", "compression_ratio", "layer_budget"};
    for (int i = 0; i < n; i++) { /* window_size, n_sinks */
        size_t k = strlen(known[i]), whole = strlen(name);
        if (whole > k + 1 && ((!strncmp(name, known[i], k) && name[k] == '_') ||
                              (!strcmp(name + whole - k, known[i]) && name[whole - k - 1] == '_'))) {
            str_addf(out, "; did you mean '%s'?", known[i]);
            return;
        }
    }
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++)
        if (!strcmp(name, beside[i]))
            str_addf(out, "; %s stands beside policy in the block",
                     strcmp(name, "compression_ratio") ? name : "keep, the fraction that stays,");
}

/* The number in front of an optional %, and whether there is one. */
static int number(const char *text, double *x, int *percent)
{
    size_t n = strlen(text);
    *percent = n > 1 && text[n - 1] == '%';
    while (*percent && n > 1 && (text[n - 1] == '%' || text[n - 1] == ' '))
        n--;
    char *plain = mem_strndup(text, n);
    for (char *p = strchr(plain, ','); p && !strchr(p + 1, ','); p = NULL)
        *p = '.'; /* 0,25 */
    int rc = str_to_double(plain, x);
    mem_free(plain);
    return rc;
}

void experiment_habits_budget(const char *key, const char *text, struct str *out)
{
    int keep = !strcmp(key, "keep"), percent;
    double x;
    int64_t bytes;
    if (number(text, &x, &percent)) {
        double part, whole;
        const char *slash = strchr(text, '/');
        char *first = slash ? mem_strndup(text, (size_t)(slash - text)) : NULL;
        if (slash && keep && !str_to_double(first, &part) && !str_to_double(slash + 1, &whole) && part > 0 &&
            part <= whole)
            str_addf(out, "; write %.6g", part / whole);
        else if (keep && !str_to_bytes(text, &bytes))
            str_addf(out, "; for bytes write keep_bytes: %s", text);
        else if (!strcmp(text, "all") || !strcmp(text, "full"))
            str_add(out, "; the whole cache is policy: full");
        mem_free(first);
        return;
    }
    if (percent) {
        if (x > 0 && x <= 100)
            str_addf(out, keep ? "; write %.6g" : "; a fraction is keep: %.6g", x / 100);
    } else if (keep && x > 1) {
        int whole = x == (double)(int64_t)x;
        if (x >= 2 && x <= 100)
            str_addf(out, "; %.6g %% is keep: %.6g", x, x / 100);
        if (whole)
            str_addf(out, "%s %.0f entries of every head are keep_tokens: %.0f", x <= 100 ? ", and" : ";", x, x);
    } else if (keep && strchr(text, ',') && x > 0) {
        str_addf(out, "; write %.6g", x);
    } else if (keep) {
        str_add(out, "; it is the fraction that stays");
    } else if (x > 0 && x < 1) {
        str_addf(out, "; a fraction is keep: %s", text);
    }
}

static int ends_in(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n > k && !strcmp(s + n - k, end);
}

void experiment_habits_model(const char *name, struct str *out)
{
    static const char *const foreign[] = {".gguf", ".safetensors", ".safetensors.index.json", "/config.json"};
    const char *slash = strchr(name, '/');
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (ends_in(name, foreign[i])) {
            char *folder = i ? fs_dirname(name) : mem_strdup(name);
            str_addf(out, "; make a model file of it first: depthkv import %s -o model.h5", folder);
            mem_free(folder);
            return;
        }
    if (fs_is_dir(name))
        str_addf(out, "; a folder of the Hugging Face form becomes a model file by: depthkv import %s -o model.h5",
                 name);
    else if (!strcmp(fs_basename(name), "smollm2-135m-instruct.h5"))
        str_add(out, "; make smollm2 fetches it");
    else if (ends_in(name, ".bin") || ends_in(name, ".pt") || ends_in(name, ".pth"))
        str_add(out, "; pickled weights are not read: fetch the .safetensors or a .gguf, then depthkv import");
    else if (slash && slash != name && name[0] != '.' && !strchr(slash + 1, '/') && !ends_in(name, ".h5"))
        str_add(out,
                "; if it is a model of the Hugging Face hub: nothing is fetched here; fetch its folder, then depthkv "
                "import FOLDER -o model.h5");
    else if (!ends_in(name, ".h5"))
        str_add(out, "; model files end in .h5: depthkv import makes them");
}
