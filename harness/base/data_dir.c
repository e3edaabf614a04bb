#include "harness/base/data_dir.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"

/* `folder` or its share/depthkv, whichever holds the books; NULL: neither. */
static char *root_at(const char *folder)
{
    static const char *const place[] = {"", "share/depthkv"};
    char *root = NULL;
    for (int i = 0; i < 2 && !root; i++) {
        char *at = *place[i] ? fs_join(folder, place[i]) : mem_strdup(folder);
        char *books = fs_join(at, "datasets/books");
        if (fs_is_dir(books))
            root = mem_strdup(at);
        mem_free(books);
        mem_free(at);
    }
    return root;
}

const char *data_dir_root(void)
{
    static char *dir;
    char exe[4096];
    ssize_t n = dir ? 0 : readlink("/proc/self/exe", exe, sizeof exe - 1);
    /* The program may lie in the project's folder or, as a test or san build, some folders below it; an installed one
     * lies in PREFIX/bin. */
    for (int up = 0; n > 0 && up < 5 && !dir; up++) {
        exe[n] = '\0';
        char *folder = fs_dirname(exe);
        n = (ssize_t)strlen(folder);
        memcpy(exe, folder, (size_t)n);
        dir = root_at(folder);
        mem_free(folder);
    }
    if (!dir)
        dir = mem_strdup(".");
    return dir;
}

const char *data_dir(void)
{
    static char *dir;
    const char *set = getenv("DEPTHKV_DATA");
    if (!dir)
        dir = set && *set ? mem_strdup(set) : fs_join(data_dir_root(), "datasets/books");
    return dir;
}

/* dir/name when there is such a file, else NULL. */
static char *file_in(const char *dir, const char *name)
{
    char *path = fs_join(dir, name);
    if (fs_exists(path))
        return path;
    mem_free(path);
    return NULL;
}

char *data_dir_model(const char *dir, const char *name)
{
    static const char *const below[] = {"models", "models/reference", "models/cache"};
    const char *set = getenv("DEPTHKV_MODELS");
    char *path = file_in(dir, name);
    if (!path && set && *set)
        path = file_in(set, fs_basename(name));
    for (size_t i = 0; !path && !strchr(name, '/') && i < sizeof below / sizeof *below; i++) {
        char *folder = fs_join(data_dir_root(), below[i]);
        path = file_in(folder, name);
        mem_free(folder);
    }
    return path ? path : fs_join(dir, name);
}
