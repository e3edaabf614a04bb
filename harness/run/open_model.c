#include "harness/run/open_model.h"

#include <stdio.h>

#include "harness/base/quote.h"
#include "harness/base/str.h"

struct model *open_model(const char *path, enum model_dtype held_as, struct err *e)
{
    struct model *m = model_open(path, held_as, e);
    struct str text = {0};
    if (m && model_open_changed(m, &text))
        quote_show(stderr, "warning: %s\n", text.p);
    str_free(&text);
    return m;
}
