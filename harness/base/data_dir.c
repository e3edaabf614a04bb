#include "harness/base/data_dir.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"

const char *data_dir(void)
{
    static char *dir;
    if (dir)
        return dir;
    const char *set = getenv("DEPTHKV_DATA");
    if (set && *set)
        return dir = mem_strdup(set);
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    /* The program may lie in the project's folder or, as a test or san build, some folders below it; an installed one
     * lies in PREFIX/bin. */
    for (int up = 0; n > 0 && up < 5; up++) {
        static const char *const place[] = {"datasets/books", "share/depthkv/books"};
        exe[n] = '\0';
        char *folder = fs_dirname(exe);
        n = (ssize_t)strlen(folder);
        memcpy(exe, folder, (size_t)n);
        for (int i = 0; i < 2 && !dir; i++) {
            char *books = fs_join(folder, place[i]);
            if (fs_is_dir(books))
                dir = mem_strdup(books);
            mem_free(books);
        }
        mem_free(folder);
        if (dir)
            return dir;
    }
    return dir = mem_strdup("datasets/books");
}
