/* `depthkv import`: a model file from a GGUF file or a Hugging Face folder. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/base/leave.h"
#include "harness/base/quote.h"
#include "harness/base/str.h"
#include "harness/cmd/cli.h"
#include "models/architecture.h"
#include "models/dequant.h"
#include "models/import.h"

static const char help[] =
    "Turn a downloaded model into a model file (HDF5).\n"
    "\n"
    "usage: depthkv import SRC -o FILE.h5 [--dtype f32|f16|bf16]\n"
    "\n"
    "SRC is a GGUF file, or a Hugging Face folder (config.json, tokenizer.json, model.safetensors or its shards).\n"
    "\n"
    "  -o, --output FILE   the model file to write; it appears when it is complete\n"
    "  -d, --dtype TYPE    element type of the stored matrices: f32 (default), f16, bf16\n"
    "  -q, --quiet         no progress on stderr\n"
    "  -h, --help          this text\n"
    "\n";
static const char help_end[] = "\n"
                               "examples:\n"
                               "  depthkv import SmolLM2-135M-Instruct.Q4_1.gguf -o smollm2.h5\n"
                               "  depthkv import ~/models/SmolLM2-360M -o smollm2-360m.h5 --dtype bf16\n";

static const char *const dtype_words[] = {"f32", "f16", "bf16"}; /* enum model_dtype */

/* What can be imported, by the tables that importing itself goes by. */
static void print_help(void)
{
    struct str gguf = {0}, hf = {0}, types = {0};
    architecture_list_gguf(&gguf);
    architecture_list_hf(&hf);
    dequant_list(&types);
    quote_show_lines(stdout, help);
    quote_show(stdout, "architectures of GGUF   %s\n", str_c(&gguf));
    quote_show(stdout, "  by model_type         %s\n", str_c(&hf));
    quote_show(stdout, "tensor types of GGUF    %s\n", str_c(&types));
    quote_show_lines(stdout, help_end);
    str_free(&gguf);
    str_free(&hf);
    str_free(&types);
}

/* ctx: an int, 1 when progress is shown. */
static int progress(void *ctx, int done, int total)
{
    const int *show = ctx;
    if (*show)
        quote_show(stderr, "\r  tensor %d of %d ", done + 1, total);
    return leave_asked();
}

static int run(const char *src, const char *out, enum model_dtype dtype, int quiet, struct err *e)
{
    struct import_source s;
    struct stat a, b;
    int show = !quiet && isatty(STDERR_FILENO);
    struct import_options o = {.dtype = dtype, .progress = progress, .ctx = &show};
    if (stat(src, &a) == 0 && stat(out, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
        return err_set(e, ERR_USAGE, "%s: source and output are the same file", src);
    if (import_open(src, &s, e))
        return -1;
    for (const char *line = str_c(&s.notes), *end; (end = strchr(line, '\n')); line = end + 1)
        quote_show(stderr, "warning: %.*s\n", (int)(end - line), line);
    leave_when_asked();
    int rc = import_write(&s, out, &o, e);
    if (show)
        quote_show(stderr, "\r\033[K");
    import_close(&s);
    return rc;
}

int cmd_import(int argc, char **argv)
{
    static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                            {"dtype", required_argument, NULL, 'd'},
                                            {"quiet", no_argument, NULL, 'q'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    const char *out = NULL;
    enum model_dtype dtype = MODEL_F32;
    struct err e = {0};
    int c, start = 1, quiet = 0;
    while ((c = cli_option(argc, argv, ":o:d:qh", options, &start)) != -1) {
        switch (c) {
        case 'o': out = optarg; break;
        case 'd':
            for (dtype = MODEL_F32; dtype <= MODEL_BF16 && strcmp(dtype_words[dtype], optarg) != 0;)
                dtype++;
            if (dtype > MODEL_BF16)
                return cli_usage("import", "--dtype '%s' unknown; use f32, f16 or bf16", optarg);
            break;
        case 'q': quiet = 1; break;
        case 'h': print_help(); return CLI_OK;
        default: return cli_bad_option("import", c, argv, options);
        }
    }
    if (argc - optind != 1 || !out)
        return cli_usage("import", "expected one source and -o FILE.h5");
    return run(argv[optind], out, dtype, quiet, &e) ? cli_fail(&e) : CLI_OK;
}
