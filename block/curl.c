/* SPDX-License-Identifier: MIT */
/*
 * Protocol drivers "http", "https", "ftp", "ftps": a file on a server, read-only, through
 * libcurl.  Each thread that asks takes a handle (with its open connection) from a stock.  Small
 * requests read more than was asked for, because the next one usually follows.
 *
 * Options: url, readahead (bytes), sslverify, timeout (s), cookie, username, password.
 */
#include "block/block.h"
#include "block/node.h"
#include "block/pool.h"
#include "util/iov.h"
#include "util/library.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define MAX_HANDLES   8
#define MAX_READAHEAD (16u << 20)

#define CURL_FUNCTIONS(F)                                                               \
    F(easy_cleanup) F(easy_getinfo) F(easy_init) F(easy_perform) F(easy_setopt)          \
    F(easy_strerror)
#define CURL_MEMBER(name) __typeof__(&curl_##name) name;
#define CURL_NAME(name) "curl_" #name,

static struct {
    CURL_FUNCTIONS(CURL_MEMBER)
} lib;

static bool load_library(Error **err)
{
    static const char *const names[] = { CURL_FUNCTIONS(CURL_NAME) };

    return LIBRARY_LOAD("libcurl.so.4", "libcurl4", names, &lib, err);
}

typedef struct CurlNode {
    char *url, *cookie, *username, *password;
    uint64_t length, readahead, timeout;
    bool verify;
    GMutex lock;
    GPtrArray *idle;                    /* of CURL* */
    uint8_t *ahead;                     /* [lock] bytes read before they were asked for */
    uint64_t ahead_off, ahead_len;
} CurlNode;

/* ---- handles ---------------------------------------------------------------------------- */

static size_t discard_data(char *p, size_t size, size_t n, void *opaque)
{
    return size * n;
}

static CURL *new_handle(const CurlNode *c, const char *protocols)
{
    CURL *h = lib.easy_init();
    if (!h) {
        return NULL;
    }
    lib.easy_setopt(h, CURLOPT_URL, c->url);
    lib.easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    lib.easy_setopt(h, CURLOPT_FAILONERROR, 1L);
    lib.easy_setopt(h, CURLOPT_FOLLOWLOCATION, 1L);
    lib.easy_setopt(h, CURLOPT_MAXREDIRS, 10L);
    /* a server can't send us to a file of this host, or to another protocol */
    lib.easy_setopt(h, CURLOPT_PROTOCOLS_STR, protocols);
    lib.easy_setopt(h, CURLOPT_REDIR_PROTOCOLS_STR, protocols);
    lib.easy_setopt(h, CURLOPT_CONNECTTIMEOUT, (long)c->timeout);
    lib.easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, 1L);
    lib.easy_setopt(h, CURLOPT_LOW_SPEED_TIME, (long)MAX(c->timeout * 6, 1));
    lib.easy_setopt(h, CURLOPT_SSL_VERIFYPEER, (long)c->verify);
    lib.easy_setopt(h, CURLOPT_SSL_VERIFYHOST, c->verify ? 2L : 0L);
    if (c->cookie) {
        lib.easy_setopt(h, CURLOPT_COOKIE, c->cookie);
    }
    if (c->username) {
        lib.easy_setopt(h, CURLOPT_USERNAME, c->username);
    }
    if (c->password) {
        lib.easy_setopt(h, CURLOPT_PASSWORD, c->password);
    }
    return h;
}

static const char *protocols_of(BlockNode *n)
{
    return g_str_has_prefix(n->driver->name, "ftp") ? "ftp,ftps" : "http,https";
}

static CURL *take(BlockNode *n)
{
    CurlNode *c = n->state;
    g_mutex_lock(&c->lock);
    CURL *h = c->idle->len ? g_ptr_array_steal_index_fast(c->idle, c->idle->len - 1) : NULL;
    g_mutex_unlock(&c->lock);
    return h ? h : new_handle(c, protocols_of(n));
}

static void give_back(CurlNode *c, CURL *h)
{
    g_mutex_lock(&c->lock);
    bool keep = c->idle->len < MAX_HANDLES;
    if (keep) {
        g_ptr_array_add(c->idle, h);
    }
    g_mutex_unlock(&c->lock);
    if (!keep) {
        lib.easy_cleanup(h);
    }
}

/* ---- reading ------------------------------------------------------------------------------ */

typedef struct Fetch {
    uint8_t *buf;
    size_t len, done;
} Fetch;

/* More than was asked for is an error: the server does not know ranges. */
static size_t take_data(char *p, size_t size, size_t n, void *opaque)
{
    Fetch *f = opaque;
    size_t len = size * n;
    if (len > f->len - f->done) {
        return 0;
    }
    memcpy(f->buf + f->done, p, len);
    f->done += len;
    return len;
}

static int fetch(BlockNode *n, uint64_t off, uint8_t *buf, size_t len)
{
    CurlNode *c = n->state;
    CURL *h = take(n);
    Fetch f = { buf, len, 0 };
    if (!h) {
        return -ENOMEM;
    }
    g_autofree char *range = g_strdup_printf("%" PRIu64 "-%" PRIu64, off, off + len - 1);
    lib.easy_setopt(h, CURLOPT_RANGE, range);
    lib.easy_setopt(h, CURLOPT_HTTPGET, 1L);
    lib.easy_setopt(h, CURLOPT_NOBODY, 0L);
    lib.easy_setopt(h, CURLOPT_WRITEFUNCTION, take_data);
    lib.easy_setopt(h, CURLOPT_WRITEDATA, &f);
    CURLcode ret = lib.easy_perform(h);
    if (ret == CURLE_OK) {
        give_back(c, h);
    } else {
        lib.easy_cleanup(h);
    }
    return ret == CURLE_OK && f.done == len ? 0
           : ret == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EIO;
}

static bool from_ahead(CurlNode *c, uint64_t off, const struct iovec *iov, int niov, uint64_t len)
{
    g_mutex_lock(&c->lock);
    bool there = c->ahead && off >= c->ahead_off && off - c->ahead_off <= c->ahead_len
                 && len <= c->ahead_len - (off - c->ahead_off);
    if (there) {
        iov_from_buf(iov, niov, 0, c->ahead + (off - c->ahead_off), len);
    }
    g_mutex_unlock(&c->lock);
    return there;
}

static int curl_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    CurlNode *c = n->state;
    size_t want = iov_size(iov, niov);
    uint64_t len = off < c->length ? MIN(want, c->length - off) : 0;
    iov_memset(iov, niov, len, 0, want - len);  /* behind the end of the file */
    if (!len || from_ahead(c, off, iov, niov, len)) {
        return 0;
    }
    uint64_t more = MIN(MAX(len, c->readahead), c->length - off);
    g_autofree uint8_t *buf = g_try_malloc(more);
    pool_sleeps();
    int ret = buf ? fetch(n, off, buf, more) : -ENOMEM;
    if (ret < 0) {
        return ret;
    }
    iov_from_buf(iov, niov, 0, buf, len);
    if (more > len) {
        g_mutex_lock(&c->lock);
        g_free(c->ahead);
        c->ahead = g_steal_pointer(&buf);
        c->ahead_off = off;
        c->ahead_len = more;
        g_mutex_unlock(&c->lock);
    }
    return 0;
}

/* ---- opening ------------------------------------------------------------------------------- */

static void free_state(CurlNode *c)
{
    for (guint i = 0; c->idle && i < c->idle->len; i++) {
        lib.easy_cleanup(c->idle->pdata[i]);
    }
    if (c->idle) {
        g_ptr_array_unref(c->idle);
        g_mutex_clear(&c->lock);
    }
    g_free(c->ahead);
    g_free(c->url);
    g_free(c->cookie);
    g_free(c->username);
    g_free(c->password);
}

static size_t look_at_header(char *p, size_t size, size_t n, void *opaque)
{
    g_autofree char *line = g_ascii_strdown(p, size * n);
    if (g_str_has_prefix(line, "accept-ranges:") && strstr(line, "bytes")) {
        *(bool *)opaque = true;
    }
    return size * n;
}

/* The length, and whether the server can send parts. */
static bool ask(BlockNode *n, Error **err)
{
    CurlNode *c = n->state;
    CURL *h = new_handle(c, protocols_of(n));
    bool ranges = g_str_has_prefix(n->driver->name, "ftp");
    curl_off_t length = -1;
    if (!h) {
        return fail(err, "Could not open '%s': libcurl failed", c->url);
    }
    lib.easy_setopt(h, CURLOPT_NOBODY, 1L);
    lib.easy_setopt(h, CURLOPT_HEADERFUNCTION, look_at_header);
    lib.easy_setopt(h, CURLOPT_HEADERDATA, &ranges);
    lib.easy_setopt(h, CURLOPT_WRITEFUNCTION, discard_data);
    CURLcode ret = lib.easy_perform(h);
    lib.easy_getinfo(h, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    lib.easy_cleanup(h);
    if (ret != CURLE_OK) {
        return fail(err, "Could not open '%s': %s", c->url, lib.easy_strerror(ret));
    }
    if (length < 0) {
        return fail(err, "Could not open '%s': the server didn't report the size of the file", c->url);
    }
    if (!ranges) {
        return fail(err, "Could not open '%s': the server does not support 'range' (byte ranges)", c->url);
    }
    c->length = length;
    return true;
}

static bool curl_open(BlockNode *n, Json *options, Error **err)
{
    CurlNode *c = n->state;
    c->readahead = 256 << 10;
    c->timeout = 5;
    c->verify = true;
    g_autofree char *filename = NULL, *prefix = g_strconcat(n->driver->name, "://", NULL);
    if (!block_take_str(options, "filename", &filename, err) || !block_take_str(options, "url", &c->url, err)
        || !block_take_str(options, "cookie", &c->cookie, err)
        || !block_take_str(options, "username", &c->username, err)
        || !block_take_str(options, "password", &c->password, err)
        || !block_take_uint(options, "readahead", &c->readahead, err)
        || !block_take_uint(options, "timeout", &c->timeout, err)
        || !block_take_bool(options, "sslverify", &c->verify, err)) {
        goto failed;
    }
    if (!c->url) {
        c->url = g_steal_pointer(&filename);
    }
    if (!c->url || !g_str_has_prefix(c->url, prefix)) {
        fail(err, "%s block driver requires an option 'url' that begins with '%s'", n->driver->name,
             prefix);
        goto failed;
    }
    if (c->readahead > MAX_READAHEAD || c->timeout > 100000) {
        fail(err, "HTTP_READAHEAD_SIZE or timeout is out of range");
        goto failed;
    }
    if (!n->flags.read_only && !n->flags.auto_read_only) {
        fail(err, "curl driver does not support writes (use readonly=on)");
        goto failed;
    }
    if (!load_library(err) || !ask(n, err)) {
        goto failed;
    }
    n->flags.read_only = true;
    g_mutex_init(&c->lock);
    c->idle = g_ptr_array_new();
    return true;
failed:
    free_state(c);
    return false;
}

static void curl_close(BlockNode *n)
{
    free_state(n->state);
}

static int64_t curl_length(BlockNode *n)
{
    return ((CurlNode *)n->state)->length;
}

static const char *curl_name(BlockNode *n)
{
    return ((CurlNode *)n->state)->url;
}

#define CURL_DRIVER(n)                                                                  \
    { .name = n, .protocol = true, .size = sizeof(CurlNode), .open = curl_open,         \
      .close = curl_close, .length = curl_length, .read = curl_read, .file_name = curl_name }

static const BlockDriver http_driver = CURL_DRIVER("http");
static const BlockDriver https_driver = CURL_DRIVER("https");
static const BlockDriver ftp_driver = CURL_DRIVER("ftp");
static const BlockDriver ftps_driver = CURL_DRIVER("ftps");
BLOCK_DRIVER(http_driver);
BLOCK_DRIVER(https_driver);
BLOCK_DRIVER(ftp_driver);
BLOCK_DRIVER(ftps_driver);
