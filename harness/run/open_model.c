#include "harness/run/open_model.h"

#include <stdio.h>

#include "harness/base/data_dir.h"
#include "harness/base/mem.h"
#include "harness/base/quote.h"
#include "harness/base/str.h"

struct model *open_model(const char *path, enum model_dtype held_as, struct err *e)
{
    char *found = data_dir_model("", path);
    struct model *m = model_open(found, held_as, e);
    struct str text = {0};
    if (m && model_open_changed(m, &text))
        quote_show(stderr, "warning: %s\n", text.p);
    str_free(&text);
    mem_free(found);
    return m;
}
