#include "harness/base/hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/leave.h"
#include "harness/base/mem.h"

struct hash_sha256_ctx {
    EVP_MD_CTX *md;
};

struct hash_sha256_ctx *hash_sha256_create(void)
{
    struct hash_sha256_ctx *c = mem_new(1, sizeof *c);
    c->md = EVP_MD_CTX_new();
    if (!c->md || EVP_DigestInit_ex(c->md, EVP_sha256(), NULL) != 1)
        leave_with(LEAVE_FAILED, "no SHA-256 from libcrypto: out of memory, or not in this build of it");
    return c;
}

void hash_sha256_update(struct hash_sha256_ctx *c, const void *data, size_t n)
{
    if (n && EVP_DigestUpdate(c->md, data, n) != 1)
        leave_with(LEAVE_FAILED, "libcrypto's SHA-256 failed"); /* a wrong key would be worse */
}

void hash_sha256_finish(struct hash_sha256_ctx *c, char hex[HASH_HEX])
{
    unsigned char d[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    if (EVP_DigestFinal_ex(c->md, d, &n) != 1 || n != 32)
        leave_with(LEAVE_FAILED, "libcrypto's SHA-256 failed");
    EVP_MD_CTX_free(c->md);
    mem_free(c);
    for (unsigned int i = 0; i < n; i++)
        snprintf(hex + 2 * i, 3, "%02x", d[i]);
}

void hash_sha256(const void *data, size_t n, char hex[HASH_HEX])
{
    struct hash_sha256_ctx *c = hash_sha256_create();
    hash_sha256_update(c, data, n);
    hash_sha256_finish(c, hex);
}

int hash_sha256_file(const char *path, char hex[HASH_HEX], struct err *e)
{
    enum { CHUNK = 1 << 20 };
    int64_t size;
    int fd = fs_open(path, &size, e), rc = 0;
    if (fd < 0)
        return -1;
    unsigned char *buf = mem_new(CHUNK, 1);
    struct hash_sha256_ctx *c = hash_sha256_create();
    ssize_t n;
    while ((n = read(fd, buf, CHUNK)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            hash_sha256_update(c, buf, (size_t)n);
    if (n < 0)
        rc = fs_fail(path, e);
    hash_sha256_finish(c, hex);
    mem_free(buf);
    close(fd);
    return rc;
}

uint64_t hash_fnv1a(const void *data, size_t n)
{
    const unsigned char *p = data;
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001B3u;
    return h;
}
