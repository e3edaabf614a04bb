#include "harness/experiment/experiment_find.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/data_dir.h"
#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"

static const char yaml[] = ".yaml";

struct names {
    char **name;
    size_t n, cap;
};

static int ends_in(const char *name, const char *end)
{
    size_t n = strlen(name), k = strlen(end);
    return n > k && strcmp(name + n - k, end) == 0;
}

static int is_file(const char *path)
{
    return fs_exists(path) && !fs_is_dir(path);
}

/* Every NAME.yaml below root/sub, as sub/NAME; parts/ holds what others include. */
static void collect(const char *root, const char *sub, struct names *all)
{
    char *folder = *sub ? fs_join(root, sub) : mem_strdup(root);
    DIR *d = opendir(folder);
    for (struct dirent *f; d && (f = readdir(d));) {
        if (f->d_name[0] == '.' || strcmp(f->d_name, "parts") == 0)
            continue;
        char *name = fs_join(sub, f->d_name), *path = fs_join(folder, f->d_name);
        if (fs_is_dir(path)) {
            collect(root, name, all);
        } else if (ends_in(name, yaml)) {
            mem_grow(&all->name, &all->cap, all->n + 1, sizeof *all->name);
            all->name[all->n++] = mem_strndup(name, strlen(name) - (sizeof yaml - 1));
        }
        mem_free(name);
        mem_free(path);
    }
    if (d)
        closedir(d);
    mem_free(folder);
}

static int by_name(const void *a, const void *b)
{
    char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

char *experiment_find_folder(void)
{
    return fs_join(data_dir_root(), "experiments");
}

char **experiment_find_all(int *n)
{
    struct names all = {0};
    char *root = experiment_find_folder();
    collect(root, "", &all);
    if (all.n)
        qsort(all.name, all.n, sizeof *all.name, by_name);
    mem_free(root);
    *n = (int)all.n;
    return all.name;
}

void experiment_find_free(char **name, int n)
{
    for (int i = 0; i < n; i++)
        mem_free(name[i]);
    mem_free(name);
}

char *experiment_find_path(const char *folder, const char *name)
{
    struct str s = {0};
    str_addf(&s, "%s%s", name, yaml);
    char *path = fs_join(folder, s.p);
    str_free(&s);
    return path;
}

/* That, when there is such a file. */
static char *with_yaml(const char *folder, const char *name)
{
    char *path = experiment_find_path(folder, name);
    if (is_file(path))
        return path;
    mem_free(path);
    return NULL;
}

/* 1 and the error when a file of the working folder is asked for that is only among those that come with depthkv. */
static int is_elsewhere(const char *name, struct err *e)
{
    if (is_file(name) || strchr(name, '/') || !ends_in(name, yaml))
        return 0;
    char *folder = experiment_find_folder(), *path = fs_join(folder, name);
    int found = is_file(path);
    if (found)
        err_set(e, ERR_CONFIG, "%s: No such file here; %s is named %.*s", name, path,
                (int)(strlen(name) - (sizeof yaml - 1)), name);
    mem_free(path);
    mem_free(folder);
    return found;
}

char *experiment_find(const char *name, struct err *e)
{
    if (is_elsewhere(name, e))
        return NULL;
    if (is_file(name) || ends_in(name, yaml) || ends_in(name, ".yml") || !*name)
        return mem_strdup(name);
    char *found = with_yaml("", name);
    if (found || name[0] == '/' || name[0] == '.')
        return found ? found : mem_strdup(name);
    char *folder = experiment_find_folder();
    found = with_yaml(folder, name);
    if (!found && fs_exists(name)) { /* a folder, say: whoever reads it says what it is */
        found = mem_strdup(name);
    } else if (!found) {
        int n;
        char **all = experiment_find_all(&n);
        err_set(e, ERR_CONFIG,
                "no experiment '%s': neither %s%s here nor one that comes with depthkv in %s%s "
                "(see: depthkv list experiments)",
                name, name, yaml, folder, str_did_you_mean(name, (const char *const *)all, n));
        experiment_find_free(all, n);
    }
    mem_free(folder);
    return found;
}
