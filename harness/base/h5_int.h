/* Private to h5*.c. A file is checked by hand (h5_check.c with h5_message.c and h5_heap.c) before the library sees it;
 * h5_library.c alone calls the library, through a driver of its own that reads and writes by h5_file.c. */
#ifndef HARNESS_BASE_H5_INT_H
#define HARNESS_BASE_H5_INT_H

#include "harness/base/h5.h"
#include "harness/base/str.h"

enum { H5_MAX_ATTR = 60000, H5_MAX_ATTRS = 1000, H5_MAX_NAME = 1000, H5_MAX_DEPTH = 32 };
#define H5_NOWHERE UINT64_MAX /* the format's undefined address */

struct h5 {
    char *path, *tmp; /* what is read or is to be; under which name it is written */
    int fd;           /* the library gets at the file through this alone: what was checked is what is read */
    int number;       /* leave_remove of tmp */
    int64_t id;       /* the library's; -1: none */
    struct h5_trail *trail;
    uint64_t size; /* bytes of the file so far */
    int why;       /* errno of the first read or write that failed; from then on nothing is written */
    int cut;       /* the file became shorter while it was read */
    int writable, failed;
};

/* ---- h5_file.c ---- */
/* Both are 0, or -1 with f->why or f->cut set. Writing goes on as if nothing had happened after it failed: the library
 * is no match for an error while it closes a file, and h5_close asks f->why. */
int h5_file_read(struct h5 *f, uint64_t at, uint64_t n, void *dst);
void h5_file_write(struct h5 *f, uint64_t at, uint64_t n, const void *src);
void h5_file_resize(struct h5 *f, uint64_t size);
int h5_file_why(const struct h5 *f, struct err *e); /* -1 and the error when one is known; 0 otherwise */

/* ---- h5_library.c ---- */
int h5_library_open(struct h5 *f, struct err *e); /* opens or, when writable, creates f->fd's content */
int h5_library_close(struct h5 *f, struct err *e);
int h5_is_group(const struct h5 *f, const char *path);              /* 1, or 0: a dataset, or nothing */
int h5_create_group(struct h5 *f, const char *path, struct err *e); /* in one that is there, as a dataset is */
int h5_create_dataset(struct h5 *f, const char *path, enum h5_type t, int rank, const uint64_t *dim, struct err *e);
/* Rows [first, first + n) of a dataset that has them and is of that type; n is not 0. */
int h5_read_part(const struct h5 *f, const char *path, enum h5_type t, uint64_t first, uint64_t n, void *dst,
                 struct err *e);
int h5_write_part(struct h5 *f, const char *path, enum h5_type t, uint64_t first, uint64_t n, const void *src,
                  struct err *e);
/* All n variable-length texts of a dataset. out[n] are the caller's. */
int h5_read_variable(const struct h5 *f, const char *path, char **out, size_t n, struct err *e);
int h5_list_attrs(const struct h5 *f, const char *path, char ***names, size_t *n,
                  struct err *e); /* names: the caller's in any case */

/* Text has `size` bytes with the NUL at its end. */
int h5_set_attr(struct h5 *f, const char *path, const char *name, enum h5_type t, size_t size, const void *v,
                struct err *e);
int64_t h5_open_member(int64_t group, const char *name, int *odd); /* -1: not there, or *odd: it can't be opened */
void h5_drop(int64_t id);

/* ---- h5_trail.c ---- */
void h5_trail_begin(struct h5 *f, int64_t root);
void h5_trail_forget(const struct h5 *f, int from);
/* A handle that the trail keeps; -1: there is no such path, or *odd: it can't be opened. */
int64_t h5_trail_find(const struct h5 *f, const char *path, size_t length, int *odd);

/* ---- h5_check.c ---- */
/* 0: the open file of `size` bytes is one that the library can read without harm. */
int h5_check(int fd, const char *path, uint64_t size, struct err *e);

/* Bytes in order; `bad` when more was asked for than there are. */
struct h5_cursor {
    const unsigned char *p;
    size_t left;
    int bad;
};

enum h5_class { H5_CLASS_INT = 0, H5_CLASS_FLOAT = 1, H5_CLASS_STRING = 3, H5_CLASS_VARIABLE = 9 };

struct h5_dtype {
    enum h5_class class; /* or another number of the format's */
    uint32_t size;       /* of one element in the file */
};

struct h5_link {
    char *name;
    uint64_t at;
    int cached; /* the two below are said of it where the link stands */
    uint64_t tree, heap;
};

/* What an object's header says. */
struct h5_object {
    struct str odd; /* valid, but not read here: why */
    struct h5_dtype type;
    uint64_t n; /* elements */
    int has_space, has_type, has_layout, has_links, has_symbols, has_fill;
    uint64_t tree, heap; /* of a symbol table */
    uint64_t at,
        stored; /* where the elements lie, and how many bytes; compact ones stand in the header, at H5_NOWHERE */
    int compact;
    uint64_t fill; /* bytes of a fill value */
    struct h5_link *link;
    size_t n_link, cap_link;
    struct {
        uint64_t at, n;
    } * chunk; /* of the header: the rest of it lies there */
    size_t n_chunk, cap_chunk;
    struct str compacted, refs; /* elements in the header; references to texts in heaps, of 16 bytes each */
    int n_attr;
};

struct h5_range {
    uint64_t at, n;
    const char *what;
};

struct h5_gheap {
    uint64_t at;
    uint64_t *size; /* [n] of the object of that number, plus 1; 0: there is none */
    size_t n;
};

struct h5_walk {
    struct h5 *f;    /* no more of it than path, descriptor and size is used */
    struct str path; /* of the object that is read, for messages */
    uint64_t
        budget; /* bytes of structure that may still be read: each is read about once, or the file goes in circles */
    uint64_t texts;         /* bytes that texts in heaps may still have */
    unsigned leaf, node;    /* symbols of a leaf, children of a tree's node, at most */
    struct h5_range *range; /* what belongs to whom: nothing to two */
    size_t n_range, cap_range;
    struct h5_gheap *heap; /* in order of `at` */
    size_t n_heap, cap_heap;
};

int h5_check_damaged(const struct h5_walk *w, const char *what, uint64_t at, struct err *e);
/* n bytes of structure as new memory (mem_free), whose range this claims; NULL: refused. */
unsigned char *h5_check_piece(struct h5_walk *w, uint64_t at, uint64_t n, const char *what, struct err *e);
int h5_check_bytes(struct h5_walk *w, uint64_t at, uint64_t n, void *dst, const char *what,
                   struct err *e);                /* claims nothing */
uint32_t h5_checksum(const void *data, size_t n); /* of the format's newer structures */

/* ---- h5_message.c: the parts of an object's header ---- */
uint64_t h5_take(struct h5_cursor *c, int bytes);              /* a little-endian number of 1, 2, 4 or 8 bytes */
const unsigned char *h5_skip(struct h5_cursor *c, uint64_t n); /* where they begin; NULL and bad: too few */
/* NULL, or in words what is wrong with it. What is valid but not read here goes to o->odd. */
const char *h5_message(struct h5_object *o, int type, int flags, struct h5_cursor c);
const char *h5_message_add_link(struct h5_object *o, const unsigned char *name, size_t n, struct h5_link link);

/* ---- h5_heap.c ---- */
/* Every one of n references leads to a text of the length that it says. */
int h5_heap_check(struct h5_walk *w, const unsigned char *ref, uint64_t n, struct err *e);

#endif
