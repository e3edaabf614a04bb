/* Where the program finds what comes with it: books, experiments, models. */
#ifndef HARNESS_DATA_DIR_H
#define HARNESS_DATA_DIR_H

/* The folder above datasets/, experiments/ and models/: the project's own, beside or above the program, or
 * PREFIX/share/depthkv of an installed one, which has the same folders inside. "." when there is neither. */
const char *data_dir_root(void);
/* Folder of the books: $DEPTHKV_DATA, or datasets/books below the root. */
const char *data_dir(void);
/* The model file that `name` in a file of the folder `dir` means, whether it exists or not. Where there is none at that
 * path, a file of that name in $DEPTHKV_MODELS; where the name has no folder, then in models/, models/reference/ and
 * models/cache/ below the root. Caller frees. */
char *data_dir_model(const char *dir, const char *name);

#endif
