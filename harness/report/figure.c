/* The registry of figures: one line each, in the order in which pages show them. */
#include "harness/report/figure.h"

#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"

#define ALL_FIGURES \
    FIGURE(budget) \
    FIGURE(layer) \
    FIGURE(heat) \
    FIGURE(all_tasks)

#define FIGURE(stem) extern const struct figure_ops figure_##stem;
ALL_FIGURES
#undef FIGURE

static const struct figure_ops *const table[] = {
#define FIGURE(stem) &figure_##stem,
    ALL_FIGURES
#undef FIGURE
};

int figure_count(void)
{
    return (int)(sizeof table / sizeof *table);
}

const struct figure_ops *figure_at(int i)
{
    return table[i];
}

const struct figure_ops *figure_find(const char *name)
{
    for (int i = 0; i < figure_count(); i++)
        if (strcmp(table[i]->name, name) == 0)
            return table[i];
    return NULL;
}

/* The figures of every task, which is numbered as it comes, then those over several. */
static int draw_all(struct figure_job *j, struct err *e)
{
    for (int l = 0; l < j->a->n_line; l++) {
        int seen = 0;
        for (int k = 0; k < l && !seen; k++)
            seen = !strcmp(j->a->line[k].task_key, j->a->line[l].task_key);
        if (seen)
            continue;
        j->task = &j->a->line[l];
        j->number++;
        for (int f = 0; f < figure_count(); f++)
            if (figure_at(f)->scope == FIGURE_OF_TASK && figure_at(f)->draw(j, e))
                return -1;
    }
    j->task = NULL;
    for (int f = 0; f < figure_count(); f++)
        if (figure_at(f)->scope == FIGURE_ACROSS_TASKS && figure_at(f)->draw(j, e))
            return -1;
    return 0;
}

int figure_write(const char *dir, const struct aggregate *a, struct plot_list *out, struct err *e)
{
    char *folder = fs_join(dir, "plots");
    struct figure_job j = {.folder = folder, .a = a, .out = out};
    int rc = fs_mkdirs(folder, e) || draw_all(&j, e) ? -1 : 0;
    if (plot_own(folder, "report", out, rc == 0, rc == 0 ? e : NULL))
        rc = -1;
    if (rc == 0 && out->n == 0)
        message_add(&out->messages, MESSAGE_NOTHING_TO_PLOT, NULL);
    plot_list_tell(out);
    mem_free(folder);
    return rc;
}
