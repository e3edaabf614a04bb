#include "harness/run/open_model.h"

#include <stdio.h>

#include "harness/base/data_dir.h"
#include "harness/base/mem.h"
#include "harness/base/quote.h"
#include "harness/base/str.h"
#include "harness/experiment/experiment_habits.h"
#include "models/kernels_bf16.h"

struct model *open_model(const char *path, enum model_dtype held_as, enum model_dtype arithmetic, struct err *e)
{
    if (arithmetic == MODEL_BF16 && kernels_bf16_check(e))
        return NULL;
    char *found = data_dir_model("", path);
    struct model *m = model_open(found, held_as, e);
    struct str text = {0};
    if (!m) {
        experiment_habits_model(found, &text);
        if (e && text.n && e->code != ERR_NOMEM) {
            struct err mine = *e;
            err_set(e, mine.code, "%s%s", mine.msg, text.p);
        }
    } else if (model_open_changed(m, &text)) {
        quote_show(stderr, "warning: %s\n", text.p);
    }
    if (m)
        m->arithmetic = arithmetic;
    str_free(&text);
    mem_free(found);
    return m;
}
