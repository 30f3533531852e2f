/* Preloaded into the server: calls that are interrupted (EINTR), and reads and writes that take only
 * a part, for regular files and TCP sockets. A system may do either at any time and seldom does. But
 * a read of a socket gives all there is (epoll(7), question 9), so none of these is cut short.
 * INTERRUPTED_COUNTS names a file of 16 numbers, 64 bits each, that count what was done. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* Where each is counted: interrupted at the place, cut short at the place and one. */
enum { PWRITE = 0, SYNC = 2, PREAD = 4, SOCKET_WRITE = 6, SOCKET_READ = 8, WAIT = 10 };

static uint64_t unused_counts[16], *counts = unused_counts;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("INTERRUPTED_COUNTS");
    int file = name ? open(name, O_RDWR) : -1;
    if (file < 0) return;
    void *shared = mmap(NULL, sizeof unused_counts, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (shared != MAP_FAILED) counts = shared;
    close(file);
}

static uint32_t chance(void) {
    static __thread uint64_t state;
    if (!state) state = (uintptr_t)&state ^ 0x9e3779b97f4a7c15;
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 32);
}

static int is_kind(int file, mode_t kind) {
    struct stat about;
    int domain = 0, error = errno;
    socklen_t size = sizeof domain;
    int is = fstat(file, &about) == 0 && (about.st_mode & S_IFMT) == kind;
    /* Pairs of local sockets carry single bytes, which nothing interrupts. */
    if (is && kind == S_IFSOCK)
        is = getsockopt(file, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_INET;
    errno = error;
    return is;
}

static int interrupted(int kind) {
    if (chance() % 8) return 0;
    __atomic_fetch_add(&counts[kind], 1, __ATOMIC_RELAXED);
    errno = EINTR;
    return 1;
}

static size_t part(int kind, size_t size) {
    if (kind == SOCKET_READ || size < 2 || chance() % 3) return size;
    __atomic_fetch_add(&counts[kind + 1], 1, __ATOMIC_RELAXED);
    return 1 + chance() % (size - 1);
}

#define REAL(name) \
    static typeof(name) *real; \
    if (!real) real = (typeof(name) *)dlsym(RTLD_NEXT, #name)

/* A call on one file with a size, for one kind of file. */
#define SIZED(name, kind, type, pointer, more, ...) \
    ssize_t name(int file, pointer data, size_t size more) { \
        REAL(name); \
        if (!is_kind(file, type)) return real(file, data, size __VA_ARGS__); \
        if (interrupted(kind)) return -1; \
        return real(file, data, part(kind, size) __VA_ARGS__); \
    }
#define AND ,

SIZED(pwrite64, PWRITE, S_IFREG, const void *, AND off64_t at, , at)
SIZED(pwrite, PWRITE, S_IFREG, const void *, AND off_t at, , at)
SIZED(pread64, PREAD, S_IFREG, void *, AND off64_t at, , at)
SIZED(send, SOCKET_WRITE, S_IFSOCK, const void *, AND int flags, , flags)
SIZED(recv, SOCKET_READ, S_IFSOCK, void *, AND int flags, , flags)
SIZED(write, SOCKET_WRITE, S_IFSOCK, const void *, , )
SIZED(read, SOCKET_READ, S_IFSOCK, void *, , )

ssize_t writev(int file, const struct iovec *parts, int count) {
    REAL(writev);
    if (!is_kind(file, S_IFSOCK) || count < 1) return real(file, parts, count);
    if (interrupted(SOCKET_WRITE)) return -1;
    struct iovec first = parts[0];
    size_t size = part(SOCKET_WRITE, first.iov_len);
    if (size == first.iov_len) return real(file, parts, count);
    first.iov_len = size;
    return real(file, &first, 1);
}

int fdatasync(int file) {
    REAL(fdatasync);
    return interrupted(SYNC) ? -1 : real(file);
}

int fsync(int file) {
    REAL(fsync);
    return interrupted(SYNC) ? -1 : real(file);
}

int epoll_wait(int poll, struct epoll_event *events, int most, int timeout) {
    REAL(epoll_wait);
    return interrupted(WAIT) ? -1 : real(poll, events, most, timeout);
}

int accept4(int file, struct sockaddr *address, socklen_t *size, int flags) {
    REAL(accept4);
    return interrupted(WAIT) ? -1 : real(file, address, size, flags);
}
