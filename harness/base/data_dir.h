/* Where the program finds the texts that it reads. */
#ifndef HARNESS_DATA_DIR_H
#define HARNESS_DATA_DIR_H

/* Folder of the books: $DEPTHKV_DATA, or datasets/books beside or above the program, or share/depthkv/books above it.
 */
const char *data_dir(void);

#endif
