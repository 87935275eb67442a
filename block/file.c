/* SPDX-License-Identifier: MIT */
/*
 * Protocol driver "file": an image in a regular file or on a block device of the host.
 *
 * Locks: other programs are kept out with open-file-description locks on single bytes, in the
 * layout QEMU and qemu-img use, so that the tools respect each other: byte 100+p is held by
 * who exercises permission p, byte 200+p by who does not let others exercise it.
 *
 * With cache.direct, requests that do not fit the alignment direct I/O wants take a second,
 * buffered descriptor; the kernel keeps the two coherent.
 */
#include "block/block.h"
#include "block/lock.h"
#include "block/node.h"
#include "block/pool.h"
#include "block/uring.h"
#include "util/iov.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct FileNode {
    char *filename;
    int fd;
    int buffered_fd;                    /* with cache.direct; else -1 */
    unsigned align;                     /* of offset, length and memory for fd; 1 = any */
    bool block_device;
    bool flush_failed;                  /* [atomic] the page cache may have lost data */
    bool no_punch, no_zero_range, no_nowait;    /* [atomic] the file system can't */
    bool uring;                         /* aio=io_uring or native, and it can be had */
    int64_t length;                     /* [atomic] grows with writes into an odd last sector */
    GMutex known_lock;
    uint64_t data_from, data_to;        /* [known_lock] no hole there, as last seen */
    unsigned holes_made;                /* [known_lock] by us */
} FileNode;

/* ---- opening ------------------------------------------------------------------------ */

static bool open_failed(const char *name, int errnum, Error **err)
{
    return fail_errno(err, errnum, "Could not open '%s'", name);
}

static int try_open(const char *name, bool read_only, bool direct)
{
    /* O_NONBLOCK would matter for FIFOs and tapes, which are refused anyway */
    return open(name, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY
                      | (direct ? O_DIRECT : 0));
}

static bool open_fd(BlockNode *n, FileNode *f, Error **err)
{
    f->fd = try_open(f->filename, n->flags.read_only, n->flags.direct);
    if (f->fd < 0) {
        if (errno == EINVAL && n->flags.direct) {
            return fail(err, "Could not open '%s': the file system may not support O_DIRECT "
                        "(cache=none and cache=directsync need it)", f->filename);
        }
        return open_failed(f->filename, errno, err);
    }
    if (n->flags.direct) {
        f->buffered_fd = try_open(f->filename, n->flags.read_only, false);
        if (f->buffered_fd < 0) {
            return open_failed(f->filename, errno, err);
        }
    }
    return true;
}

/* FIFOs would block the open: look before. */
static bool check_kind(const char *name, Error **err)
{
    struct stat st;
    if (stat(name, &st) < 0) {
        return open_failed(name, errno, err);
    }
    if (S_ISDIR(st.st_mode)) {
        return fail(err, "'file' driver requires '%s' to be a regular file", name);
    }
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
        return fail(err, "Could not open '%s': neither a regular file nor a block device", name);
    }
    return true;
}

static bool measure(FileNode *f, Error **err)
{
    struct stat st;
    if (fstat(f->fd, &st) < 0) {
        return open_failed(f->filename, errno, err);
    }
    f->block_device = S_ISBLK(st.st_mode);
    f->length = st.st_size;
    if (f->block_device) {
        uint64_t bytes;
        if (ioctl(f->fd, BLKGETSIZE64, &bytes) < 0) {
            return fail_errno(err, errno, "Could not get the size of '%s'", f->filename);
        }
        f->length = bytes;
    }
    return true;
}

/* The smallest alignment the host takes: asking is the only portable way to know. */
static void find_alignment(FileNode *f, bool direct)
{
    f->align = 1;
    if (!direct) {
        return;
    }
    void *page = aligned_alloc(4096, 4096);
    for (f->align = 512; f->align < 4096; f->align *= 2) {
        if (pread(f->fd, (char *)page + f->align % 4096, f->align, 0) >= 0) {
            break;
        }
    }
    free(page);
}

static void file_close(BlockNode *n)
{
    FileNode *f = n->state;
    if (f->fd >= 0) {
        close(f->fd);
    }
    if (f->buffered_fd >= 0) {
        close(f->buffered_fd);
    }
    g_free(f->filename);
    g_mutex_clear(&f->known_lock);
}

static bool take_locking(Json *options, BlockNode *n, Error **err)
{
    g_autofree char *mode = NULL;
    if (!block_take_str(options, "locking", &mode, err)) {
        return false;
    }
    if (mode && strcmp(mode, "auto") && strcmp(mode, "on") && strcmp(mode, "off")) {
        return fail(err, "Option 'locking': '%s' is none of: auto, on, off", mode);
    }
    n->flags.no_lock |= mode && !strcmp(mode, "off");
    return true;
}

static bool take_aio(BlockNode *n, Json *options, Error **err)
{
    g_autofree char *aio = NULL;
    if (!block_take_str(options, "aio", &aio, err)) {
        return false;
    }
    if (!aio || !strcmp(aio, "threads")) {
        return true;
    }
    if (strcmp(aio, "native") && strcmp(aio, "io_uring")) {
        return fail(err, "Option 'aio': '%s' is none of: threads, native, io_uring", aio);
    }
    if (!strcmp(aio, "native") && !n->flags.direct) {
        return fail(err, "aio=native was specified, but it requires cache.direct=on, which was not "
                    "specified.");
    }
    /* native: what Linux' older interface did is io_uring's work today */
    ((FileNode *)n->state)->uring = uring_available();
    if (!uring_available()) {
        static bool said;
        if (!said) {
            warn_report("aio=%s: io_uring can't be used here, aio=threads is used", aio);
            said = true;
        }
    }
    return true;
}

static bool file_open(BlockNode *n, Json *options, Error **err)
{
    FileNode *f = n->state;
    f->fd = f->buffered_fd = -1;
    g_mutex_init(&f->known_lock);
    if (!block_take_str(options, "filename", &f->filename, err) || !take_locking(options, n, err)
        || !take_aio(n, options, err)) {
        goto failed;
    }
    if (!f->filename || !*f->filename) {
        fail(err, "The 'file' block driver requires a file name");
        goto failed;
    }
    n->flags.read_only |= n->flags.auto_read_only;      /* until somebody wants to write */
    if (!check_kind(f->filename, err) || !open_fd(n, f, err) || !measure(f, err)) {
        goto failed;
    }
    find_alignment(f, n->flags.direct);
    if (n->flags.no_lock || image_lock(f->fd, f->filename, !n->flags.read_only, err)) {
        return true;
    }
failed:
    file_close(n);
    return false;
}

/* New descriptors take the places of the old ones, whose locks go with them. */
static bool replace_fds(BlockNode *n, bool writable, Error **err)
{
    FileNode *f = n->state;
    int fd = try_open(f->filename, !writable, n->flags.direct);
    int buffered = fd >= 0 && f->buffered_fd >= 0 ? try_open(f->filename, !writable, false) : -1;
    struct stat old, new;
    bool ok = fd >= 0 && (buffered >= 0 || f->buffered_fd < 0);
    if (!ok) {
        open_failed(f->filename, errno, err);
    } else if (fstat(f->fd, &old) < 0 || fstat(fd, &new) < 0 || old.st_ino != new.st_ino
               || old.st_dev != new.st_dev) {
        ok = fail(err, "Could not reopen '%s': it is another file now", f->filename);
    }
    if (ok) {
        dup3(fd, f->fd, O_CLOEXEC);
        if (buffered >= 0) {
            dup3(buffered, f->buffered_fd, O_CLOEXEC);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    if (buffered >= 0) {
        close(buffered);
    }
    return ok;
}

static bool file_reopen(BlockNode *n, bool writable, Error **err)
{
    FileNode *f = n->state;
    if (!replace_fds(n, writable, err)) {
        return false;
    }
    if (n->flags.no_lock || image_lock(f->fd, f->filename, writable, err)) {
        return true;
    }
    if (!replace_fds(n, !writable, NULL) || !image_lock(f->fd, f->filename, !writable, NULL)) {
        warn_report("'%s': the lock on the image is lost", f->filename);
    }
    return false;
}

/* ---- requests ----------------------------------------------------------------------- */

static int64_t file_length(BlockNode *n)
{
    return __atomic_load_n(&((FileNode *)n->state)->length, __ATOMIC_RELAXED);
}

static bool aligned(const FileNode *f, uint64_t off, const struct iovec *iov, int niov)
{
    uint64_t bits = off;
    for (int i = 0; i < niov; i++) {
        bits |= (uintptr_t)iov[i].iov_base | iov[i].iov_len;
    }
    return !(bits & (f->align - 1));
}

typedef ssize_t VectorFn(int fd, const struct iovec *iov, int n, off_t off);

/* All of iov, in as many system calls as it takes.  Returns bytes done (less only at the end
 * of the file), or -errno. */
static ssize_t whole(VectorFn *fn, int fd, const struct iovec *iov, int niov, uint64_t off)
{
    size_t total = iov_size(iov, niov), done = 0;
    while (done < total) {
        struct iovec part[64];
        int first = 0, count = 0;
        size_t skip = done;
        while (skip >= iov[first].iov_len) {
            skip -= iov[first++].iov_len;
        }
        for (int i = first; i < niov && count < (int)G_N_ELEMENTS(part); i++, count++) {
            part[count] = (struct iovec) { (char *)iov[i].iov_base + skip, iov[i].iov_len - skip };
            skip = 0;
        }
        ssize_t n = fn(fd, part, count, off + done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (n == 0) {
            break;
        }
        done += n;
    }
    return done;
}

static ssize_t read_vector(int fd, const struct iovec *iov, int n, off_t off)
{
    return preadv(fd, iov, n, off);
}

static ssize_t write_vector(int fd, const struct iovec *iov, int n, off_t off)
{
    return pwritev(fd, iov, n, off);
}

static int suitable_fd(const FileNode *f, uint64_t off, const struct iovec *iov, int niov)
{
    return aligned(f, off, iov, niov) ? f->fd : f->buffered_fd;
}

static int file_try_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov);

static int file_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    FileNode *f = n->state;
    if (pool_in_lane()) {
        if (file_try_read(n, off, iov, niov) == 0) {
            return 0;
        }
        pool_sleeps();
    }
    size_t want = iov_size(iov, niov);
    ssize_t got = whole(read_vector, suitable_fd(f, off, iov, niov), iov, niov, off);
    if (got < 0) {
        return got;
    }
    iov_memset(iov, niov, got, 0, want - got);     /* behind the end of the file */
    return 0;
}

/* From the page cache; with cache.direct there is none. */
static int file_try_read(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    FileNode *f = n->state;
    if (n->flags.direct || niov > IOV_MAX || __atomic_load_n(&f->no_nowait, __ATOMIC_RELAXED)) {
        return -EAGAIN;
    }
    ssize_t got = preadv2(f->fd, iov, niov, off, RWF_NOWAIT);
    if (got < 0 && errno == EOPNOTSUPP) {
        __atomic_store_n(&f->no_nowait, true, __ATOMIC_RELAXED);
    }
    return got >= 0 && (size_t)got == iov_size(iov, niov) ? 0 : -EAGAIN;
}

static void note_growth(FileNode *f, int64_t end)
{
    int64_t old = __atomic_load_n(&f->length, __ATOMIC_RELAXED);
    while (end > old && !__atomic_compare_exchange_n(&f->length, &old, end, false,
                                                     __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

static int file_write(BlockNode *n, uint64_t off, const struct iovec *iov, int niov)
{
    FileNode *f = n->state;
    size_t len = iov_size(iov, niov);
    if (n->flags.direct) {
        pool_sleeps();
    }
    ssize_t done = whole(write_vector, suitable_fd(f, off, iov, niov), iov, niov, off);
    if (done < 0) {
        return done;
    }
    if ((size_t)done < len) {
        return -ENOSPC;
    }
    note_growth(f, off + len);
    return 0;
}

static bool file_direct(BlockNode *n, uint64_t off, const struct iovec *iov, int niov, bool write,
                        int *fd, uint64_t *host)
{
    FileNode *f = n->state;
    if (!f->uring || niov > IOV_MAX || suitable_fd(f, off, iov, niov) != f->fd
        || off + iov_size(iov, niov) > (uint64_t)file_length(n)) {
        return false;
    }
    *fd = f->fd;
    *host = off;
    return true;
}

/*
 * After a failed sync the kernel drops the dirty pages it could not write and reports success
 * the next time.  The data are gone, so every later flush must fail as well.
 */
static int file_flush(BlockNode *n)
{
    FileNode *f = n->state;
    if (__atomic_load_n(&f->flush_failed, __ATOMIC_RELAXED)) {
        return -EIO;
    }
    pool_sleeps();
    if (fdatasync(f->fd) < 0) {
        int err = errno;
        __atomic_store_n(&f->flush_failed, true, __ATOMIC_RELAXED);
        return -err;
    }
    return 0;
}

/* A hole was made. */
static void forget_data(FileNode *f)
{
    g_mutex_lock(&f->known_lock);
    f->data_from = f->data_to = 0;
    f->holes_made++;
    g_mutex_unlock(&f->known_lock);
}

/* 0, or -ENOTSUP remembered in *cannot. */
static int try_fallocate(FileNode *f, int mode, uint64_t off, uint64_t len, bool *cannot)
{
    if (__atomic_load_n(cannot, __ATOMIC_RELAXED)) {
        return -ENOTSUP;
    }
    pool_sleeps();
    int ret;
    do {
        ret = fallocate(f->fd, mode, off, len) < 0 ? -errno : 0;
    } while (ret == -EINTR);
    forget_data(f);
    if (ret == -EOPNOTSUPP || ret == -ENOSYS || ret == -ENODEV || ret == -EINVAL) {
        __atomic_store_n(cannot, true, __ATOMIC_RELAXED);
        return -ENOTSUP;
    }
    return ret;
}

static int file_discard(BlockNode *n, uint64_t off, uint64_t len)
{
    FileNode *f = n->state;
    int ret;
    if (f->block_device) {
        uint64_t range[2] = { off, len };
        pool_sleeps();
        ret = ioctl(f->fd, BLKDISCARD, range) < 0 ? -errno : 0;
    } else {
        ret = try_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len, &f->no_punch);
    }
    return ret == -ENOTSUP || ret == -EOPNOTSUPP ? 0 : ret;     /* it is a hint */
}

static int file_write_zeroes(BlockNode *n, uint64_t off, uint64_t len, bool may_unmap)
{
    FileNode *f = n->state;
    int ret = -ENOTSUP;
    if (may_unmap) {
        ret = try_fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len, &f->no_punch);
    }
    if (ret == -ENOTSUP) {
        ret = try_fallocate(f, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, off, len,
                            &f->no_zero_range);
    }
    return ret;
}

/*
 * Where the data end that are at off.  The kernel goes through all of them to find that out, and
 * who asks works on a piece and then asks for the next: it is asked once.
 */
static uint64_t end_of_data(FileNode *f, uint64_t off)
{
    g_mutex_lock(&f->known_lock);
    uint64_t end = off >= f->data_from && off < f->data_to ? f->data_to : 0;
    unsigned holes = f->holes_made;
    g_mutex_unlock(&f->known_lock);
    if (end) {
        return end;
    }
    off_t hole = lseek(f->fd, off, SEEK_HOLE);
    if (hole <= (off_t)off) {
        return 0;
    }
    g_mutex_lock(&f->known_lock);
    if (holes == f->holes_made) {
        f->data_from = off;
        f->data_to = hole;
    }
    g_mutex_unlock(&f->known_lock);
    return hole;
}

static bool known_data(FileNode *f, uint64_t off)
{
    g_mutex_lock(&f->known_lock);
    bool known = off >= f->data_from && off < f->data_to;
    g_mutex_unlock(&f->known_lock);
    return known;
}

/* Holes of the file are zeroes without space; a file system that can't tell has data. */
static int file_status(BlockNode *n, uint64_t off, uint64_t len, BlockStatus *st)
{
    FileNode *f = n->state;
    uint64_t end = off + len;
    *st = (BlockStatus) { .len = len, .allocated = true, .data = true, .has_offset = true,
                          .offset = off, .file = n };
    if ((int64_t)off >= file_length(n)) {
        st->zero = true;
        st->data = false;
        return 0;
    }
    off_t data = known_data(f, off) ? (off_t)off : lseek(f->fd, off, SEEK_DATA);
    if (data < 0 && errno != ENXIO) {
        return 0;
    }
    if (data < 0 || (uint64_t)data > off) {
        st->zero = true;
        st->data = false;
        st->len = (data < 0 ? end : MIN((uint64_t)data, end)) - off;
        return 0;
    }
    uint64_t hole = end_of_data(f, off);
    if (hole > off) {
        st->len = MIN(hole, end) - off;
    }
    return 0;
}

static void file_limits(BlockNode *n, BlkLimits *out)
{
    FileNode *f = n->state;
    unsigned value;
    out->logical_block = MAX(f->align, BLK_SECTOR);
    if (!f->block_device) {
        return;
    }
    if (ioctl(f->fd, BLKPBSZGET, &value) == 0 && value >= BLK_SECTOR && value <= 65536) {
        out->physical_block = value;
    }
    if (ioctl(f->fd, BLKIOMIN, &value) == 0) {
        out->min_io = value;
    }
    if (ioctl(f->fd, BLKIOOPT, &value) == 0) {
        out->opt_io = value;
    }
    unsigned short rotational;
    out->rotational = ioctl(f->fd, BLKROTATIONAL, &rotational) == 0 && rotational;
}

/* Space for [from, to): reserved, or written when the file system can't reserve. */
static int fill(FileNode *f, uint64_t from, uint64_t to, BlockPrealloc prealloc)
{
    if (prealloc == PREALLOC_FALLOC && fallocate(f->fd, 0, from, to - from) == 0) {
        return 0;
    }
    g_autofree uint8_t *zeroes = g_malloc0(1 << 20);
    while (from < to) {
        struct iovec iov = { zeroes, MIN(to - from, 1 << 20) };
        ssize_t done = whole(write_vector, f->fd, &iov, 1, from);
        if (done <= 0) {
            return done < 0 ? done : -ENOSPC;
        }
        from += done;
    }
    return fdatasync(f->fd) < 0 ? -errno : 0;
}

static bool file_truncate(BlockNode *n, uint64_t length, BlockPrealloc prealloc, Error **err)
{
    FileNode *f = n->state;
    int64_t old = file_length(n);
    if (f->block_device) {
        return length <= (uint64_t)old || fail(err, "Cannot grow device files");
    }
    if (ftruncate(f->fd, length) < 0) {
        return fail_errno(err, errno, "Could not resize file");
    }
    forget_data(f);
    if (length > (uint64_t)old && prealloc >= PREALLOC_FALLOC) {
        int ret = fill(f, old, length, prealloc);
        if (ret < 0) {
            int ignored = ftruncate(f->fd, old);
            (void)ignored;
            return fail_errno(err, -ret, "Could not preallocate data for the new file");
        }
    }
    __atomic_store_n(&f->length, (int64_t)length, __ATOMIC_RELAXED);
    return true;
}

/* Where file systems can do that for an empty file; to others the wish means nothing. */
static void keep_in_place(int fd)
{
    int attributes;
    if (ioctl(fd, FS_IOC_GETFLAGS, &attributes) == 0) {
        attributes |= FS_NOCOW_FL;
        ioctl(fd, FS_IOC_SETFLAGS, &attributes);
    }
}

/* Refuses to empty a file that somebody uses, so the lock comes first. */
static bool file_create(const char *filename, Json *options, Error **err)
{
    int fd = open(filename, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        fail_errno(err, errno, "Could not create '%s'", filename);
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    bool nocow = false, ok = (!options || block_take_bool(options, "nocow", &nocow, err))
                             && image_lock(fd, filename, true, err);
    if (ok && S_ISREG(st.st_mode) && ftruncate(fd, 0) < 0) {
        ok = fail_errno(err, errno, "Could not create '%s'", filename);
    }
    if (ok && nocow) {
        keep_in_place(fd);
    }
    close(fd);
    return ok;
}

static int file_fd(BlockNode *n)
{
    return ((FileNode *)n->state)->fd;
}

static const char *file_name(BlockNode *n)
{
    return ((FileNode *)n->state)->filename;
}

static const BlockDriver file_driver = {
    .name = "file", .protocol = true, .size = sizeof(FileNode), .open = file_open,
    .close = file_close, .length = file_length, .read = file_read,
    .try_read = file_try_read, .write = file_write,
    .flush = file_flush, .discard = file_discard, .write_zeroes = file_write_zeroes,
    .file_name = file_name, .limits = file_limits, .status = file_status,
    .truncate = file_truncate, .create = file_create, .fd = file_fd,
    .reopen = file_reopen, .direct = file_direct,
};
BLOCK_DRIVER(file_driver);

/* Another name for the same thing, which people write for /dev/sdb. */
static const BlockDriver host_device_driver = {
    .name = "host_device", .protocol = true, .size = sizeof(FileNode), .open = file_open,
    .close = file_close, .length = file_length, .read = file_read, .write = file_write,
    .flush = file_flush, .discard = file_discard, .write_zeroes = file_write_zeroes,
    .file_name = file_name, .limits = file_limits, .status = file_status,
    .truncate = file_truncate, .create = file_create, .fd = file_fd,
    .reopen = file_reopen, .direct = file_direct,
};
BLOCK_DRIVER(host_device_driver);
