/* Private to h5*.c: a file as a tree of nodes. Reading turns a file's bytes into it (h5_parse.c, h5_message.c), writing
 * turns it into bytes (h5_emit.c). The elements of datasets stay in the file until they are asked for. */
#ifndef HARNESS_BASE_H5_INT_H
#define HARNESS_BASE_H5_INT_H

#include "harness/base/h5.h"
#include "harness/base/str.h"

enum { H5_MAX_ATTR = 60000, H5_MAX_ATTRS = 1000, H5_MAX_NAME = 1000, H5_MAX_DEPTH = 32 };
#define H5_NOWHERE UINT64_MAX /* the format's undefined address */

/* Classes of the format's datatype message. */
enum h5_class { H5_CLASS_INT = 0, H5_CLASS_FLOAT = 1, H5_CLASS_STRING = 3, H5_CLASS_VARIABLE = 9 };

struct h5_dtype {
    enum h5_class class; /* or another number of the format's */
    uint32_t size;       /* of one element in the file */
    enum h5_type as;     /* STRING: variable-length text */
    int plain, is_signed; /* of integers: little-endian, all bits used */
};

struct h5_attr {
    char *name;
    struct h5_dtype type;
    uint64_t n;           /* elements */
    unsigned char *data;  /* n elements as they are stored; NULL when the type is none that can be read */
};

enum h5_kind { H5_GROUP, H5_DATASET, H5_ODD };

struct h5_node {
    char *name;
    enum h5_kind kind;
    const char *odd;      /* why it can't be used, in words; NULL: it can */
    struct h5_attr *attr;
    size_t n_attr, cap_attr;
    const char *attr_odd; /* why its attributes can't be read */
    struct h5_node **child; /* [n_child], in order of name */
    size_t n_child, cap_child;
    struct h5_dtype type;
    int rank;
    uint64_t dim[H5_MAX_RANK], n;
    int fresh;            /* its elements lie in the file that is being written */
    uint64_t at, stored;  /* where they lie, and how many bytes */
    unsigned char *compact; /* elements that stood in the object's header */
};

struct h5 {
    char *path, *tmp;     /* what is read or is to be; under which name it is written */
    int in, out;          /* descriptors; -1: none */
    int number;           /* leave_remove of tmp */
    uint64_t size;        /* of what is read */
    uint64_t budget;      /* bytes of structure that may still be read: each is read about once, or the file goes in circles */
    uint64_t end;         /* of what is written */
    struct h5_node *root;
    int writable, failed;
};

/* ---- h5_tree.c ---- */
struct h5_node *h5_node_new(const char *name, size_t n, enum h5_kind kind);
void h5_node_free(struct h5_node *node); /* with all below it; NULL is fine */
/* Adds a child in its place by name; -1 when there is one of that name, and `child` stays the caller's. */
int h5_node_add(struct h5_node *group, struct h5_node *child);
void h5_node_append(struct h5_node *group, struct h5_node *child); /* anywhere; h5_node_sort must follow */
int h5_node_sort(struct h5_node *group); /* -1 when two have one name */
struct h5_node *h5_node_find(const struct h5_node *root, const char *path); /* NULL: there is none */
struct h5_attr *h5_node_attr(const struct h5_node *node, const char *name); /* NULL: there is none */
struct h5_attr *h5_node_attr_new(struct h5_node *node, const char *name, size_t n); /* in front of none: at the end */

/* ---- h5.c ---- */
const struct h5_node *h5_usable(const struct h5 *f, const char *path, enum h5_kind kind, struct err *e); /* or NULL */
const struct h5_node *h5_readable(const struct h5 *f, const char *path, enum h5_type t, struct err *e); /* all elements are there */
struct h5_node *h5_new_dataset(struct h5 *f, const char *path, enum h5_type t, int rank, const uint64_t *dim, struct err *e);
int h5_integer_of(const struct h5_attr *a, int64_t *v); /* -1: it is none */

/* ---- h5_parse.c ---- */
int h5_parse(struct h5 *f, struct err *e);
/* n bytes at `at` of what is read; refuses what lies outside it. `what` is for the message. */
int h5_bytes(const struct h5 *f, uint64_t at, uint64_t n, void *dst, const char *what, struct err *e);

/* ---- h5_message.c: the parts of an object's header ---- */
/* Bytes in order; `bad` when more was asked for than there are. */
struct h5_cursor {
    const unsigned char *p;
    size_t left;
    int bad;
};
uint64_t h5_take(struct h5_cursor *c, int bytes);             /* a little-endian number of 1, 2, 4 or 8 bytes */
const unsigned char *h5_skip(struct h5_cursor *c, uint64_t n); /* where they begin; NULL and bad: too few */

/* Each returns NULL, or in words what is wrong with the message, and then nothing of it is used. */
const char *h5_message_space(struct h5_cursor c, int *rank, uint64_t *dim, uint64_t *n);
const char *h5_message_type(struct h5_cursor c, struct h5_dtype *t);
const char *h5_message_layout(struct h5_cursor c, struct h5_node *node);
const char *h5_message_attr(struct h5_cursor c, struct h5_node *node);
/* A type as its message; STRING: fixed text of `size` bytes. */
void h5_message_put_type(struct str *s, enum h5_type t, uint32_t size);
void h5_put(struct str *s, uint64_t v, int bytes);

/* ---- h5_heap.c ---- */
/* Variable-length texts: `ref` holds n references of 16 bytes. out[n] are the caller's. */
int h5_heap_strings(const struct h5 *f, const char *path, const unsigned char *ref, size_t n, char **out, struct err *e);

/* ---- h5_emit.c ---- */
uint32_t h5_checksum(const void *data, size_t n); /* of the format's newer structures */
int h5_append_bytes(struct h5 *f, const void *data, uint64_t n, uint64_t *at, struct err *e);
int h5_append_copy(struct h5 *f, const struct h5 *from, const struct h5_node *node, uint64_t *at, struct err *e);
int h5_read_bytes(const struct h5 *f, const struct h5_node *node, uint64_t first, uint64_t n, void *dst, struct err *e);
int h5_emit(struct h5 *f, struct err *e); /* everything but the elements, and the superblock */

#endif
