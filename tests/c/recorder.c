/* A library to preload: it records what processes do to the files below one directory, and what they
 * send to the API and receive from it, in the order in which it happened.
 *
 * RECORD_ROOT names the directory, RECORD_LOG the file that all processes append records to. A call and
 * its record are made under one lock, so the records have the order of the calls. A sync has two records,
 * for its begin and its end, and does not hold the lock between them: it may or may not cover what is
 * written meanwhile. Calls that fail change nothing and are not recorded.
 *
 * RECORD_SLOW_US makes each sync take longer, as on a slow disk, so that other threads go on meanwhile:
 * by this many microseconds, or 4, 16 or 64 times as many, by chance. A program can call record_mark to
 * add a mark to the recording, and record_end to end as a killed process does. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* The same numbers as in recording.rs. */
enum act {
  OPEN = 1,
  WRITE,
  TRUNCATE,
  ZERO,
  EXTEND,
  SYNC_BEGIN,
  SYNC_END,
  RENAME,
  UNLINK,
  MKDIR,
  RMDIR,
  BIND,
  MARK,
  SEND,
  RECEIVE
};

struct record {
  uint64_t handle;
  int64_t at;
  uint64_t size;
  uint32_t act;
  uint32_t length;
};

enum { DESCRIPTORS = 65536, LOG_DESCRIPTOR = 900, PATH_BYTES = 4096 };

static pthread_mutex_t threads = PTHREAD_MUTEX_INITIALIZER;
static uint64_t handles[DESCRIPTORS];
static uint64_t last_handle;
static int log_descriptor = -1;
static char root[PATH_BYTES];
static long slow_us;

static void fail(const char *what) {
  perror(what);
  syscall(SYS_exit_group, 9);
}

__attribute__((constructor)) static void begin(void) {
  const char *log = getenv("RECORD_LOG"), *below = getenv("RECORD_ROOT"), *longer = getenv("RECORD_SLOW_US");
  long opened;
  if (log == NULL || below == NULL || strlen(below) >= sizeof root) return;
  strcpy(root, below);
  if (longer != NULL) slow_us = atol(longer);
  opened = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (opened < 0) fail("the log of a recording");
  /* A high number, so that the program's descriptors have the numbers that they have without a recording. */
  log_descriptor = fcntl((int)opened, F_DUPFD_CLOEXEC, LOG_DESCRIPTOR);
  if (log_descriptor < 0) fail("the log of a recording");
  syscall(SYS_close, opened);
  last_handle = (uint64_t)getpid() << 32;
}

static void lock_others(short type) {
  struct flock whole = {.l_type = type, .l_whence = SEEK_SET};
  while (fcntl(log_descriptor, F_OFD_SETLKW, &whole) < 0)
    if (errno != EINTR) fail("the lock of a recording");
}

static void lock(void) {
  pthread_mutex_lock(&threads);
  lock_others(F_WRLCK);
}

/* Leaves errno as the recorded call has set it. */
static void unlock(void) {
  int error = errno;
  lock_others(F_UNLCK);
  pthread_mutex_unlock(&threads);
  errno = error;
}

static void add(enum act act, uint64_t handle, int64_t at, uint64_t size, const void *data, size_t length) {
  struct record record;
  struct iovec parts[2];
  int error = errno;
  memset(&record, 0, sizeof record);
  record.handle = handle;
  record.at = at;
  record.size = size;
  record.act = act;
  record.length = (uint32_t)length;
  parts[0].iov_base = &record;
  parts[0].iov_len = sizeof record;
  parts[1].iov_base = (void *)(uintptr_t)data;
  parts[1].iov_len = length;
  if (syscall(SYS_writev, log_descriptor, parts, 2) != (long)(sizeof record + length)) fail("a record");
  errno = error;
}

static void note(enum act act, uint64_t handle, int64_t at, uint64_t size, const void *data, size_t length) {
  lock();
  add(act, handle, at, size, data, length);
  unlock();
}

/* The part of `path` below the root; NULL if it is elsewhere. */
static const char *below_root(int directory, const char *path) {
  static __thread char at[PATH_BYTES];
  size_t length = strlen(root);
  int descriptor, skipped;
  if (log_descriptor < 0) return NULL;
  if (sscanf(path, "/proc/thread-self/fd/%d/%n", &descriptor, &skipped) == 1) {
    directory = descriptor;
    path += skipped;
  }
  if (path[0] != '/' && directory != AT_FDCWD) {
    char link[64];
    ssize_t got;
    size_t rest = strlen(path);
    snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    got = readlink(link, at, sizeof at);
    if (got < 0 || (size_t)got + rest + 2 > sizeof at) return NULL;
    at[got] = '/';
    memcpy(at + got + 1, path, rest + 1);
    path = at;
  }
  if (strncmp(path, root, length) != 0) return NULL;
  /* A directory that is listed is opened as "." of itself. */
  if (strlen(path) > 2 && strcmp(path + strlen(path) - 2, "/.") == 0) {
    if (path != at) path = strcpy(at, path);
    at[strlen(at) - 2] = '\0';
  }
  if (path[length] == '/') return path + length + 1;
  return path[length] == '\0' ? path + length : NULL;
}

static uint64_t handle_of(int descriptor) {
  return descriptor >= 0 && descriptor < DESCRIPTORS ? handles[descriptor] : 0;
}

static void track(int descriptor) {
  if (descriptor >= DESCRIPTORS) fail("more descriptors than a recording can follow");
  handles[descriptor] = ++last_handle;
}

void record_mark(const char *text) {
  if (log_descriptor >= 0) note(MARK, 0, 0, 0, text, strlen(text));
}

void record_end(void) {
  /* Under the lock, no other thread is between a call and its record. */
  if (log_descriptor >= 0) lock();
  syscall(SYS_exit_group, 0);
}

static int open_at(int directory, const char *path, int flags, unsigned mode) {
  const char *relative = below_root(directory, path);
  long opened;
  if (relative == NULL) return (int)syscall(SYS_openat, directory, path, flags, mode);
  lock();
  opened = syscall(SYS_openat, directory, path, flags, mode);
  if (opened >= 0) {
    track((int)opened);
    add(OPEN, handles[opened], flags & O_TRUNC ? 1 : 0, 0, relative, strlen(relative));
  }
  unlock();
  return (int)opened;
}

#define MODE(flags, mode) \
  do { \
    va_list more; \
    va_start(more, flags); \
    mode = flags & O_CREAT ? va_arg(more, unsigned) : 0; \
    va_end(more); \
  } while (0)

int open(const char *path, int flags, ...) {
  unsigned mode;
  MODE(flags, mode);
  return open_at(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  unsigned mode;
  MODE(flags, mode);
  return open_at(AT_FDCWD, path, flags, mode);
}

int openat(int directory, const char *path, int flags, ...) {
  unsigned mode;
  MODE(flags, mode);
  return open_at(directory, path, flags, mode);
}

int openat64(int directory, const char *path, int flags, ...) {
  unsigned mode;
  MODE(flags, mode);
  return open_at(directory, path, flags, mode);
}

int creat(const char *path, mode_t mode) {
  return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int close(int descriptor) {
  /* Before the close, because another thread may get the same number right after it. */
  if (descriptor >= 0 && descriptor < DESCRIPTORS) handles[descriptor] = 0;
  return (int)syscall(SYS_close, descriptor);
}

static int is_connection(int descriptor) {
  int type;
  socklen_t size = sizeof type;
  int error = errno, found = getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
  errno = error;
  return found;
}

/* The first `left` bytes of a call that takes several parts; they begin at `at`. */
static void add_parts(enum act act, uint64_t handle, int64_t at, const struct iovec *part, size_t left) {
  for (; left > 0; part++) {
    size_t length = part->iov_len < left ? part->iov_len : left;
    add(act, handle, at, 0, part->iov_base, length);
    at += (int64_t)length;
    left -= length;
  }
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
  uint64_t handle = handle_of(descriptor);
  ssize_t written;
  if (handle == 0) return syscall(SYS_writev, descriptor, parts, count);
  lock();
  written = syscall(SYS_writev, descriptor, parts, count);
  if (written > 0) {
    int to_api = is_connection(descriptor);
    int64_t at = to_api ? 0 : lseek(descriptor, 0, SEEK_CUR) - written;
    add_parts(to_api ? SEND : WRITE, handle, at, parts, (size_t)written);
  }
  unlock();
  return written;
}

ssize_t write(int descriptor, const void *data, size_t length) {
  struct iovec part;
  if (handle_of(descriptor) == 0) return syscall(SYS_write, descriptor, data, length);
  part.iov_base = (void *)(uintptr_t)data;
  part.iov_len = length;
  return writev(descriptor, &part, 1);
}

ssize_t pwrite64(int descriptor, const void *data, size_t length, off64_t at) {
  uint64_t handle = handle_of(descriptor);
  ssize_t written;
  if (handle == 0) return syscall(SYS_pwrite64, descriptor, data, length, at);
  lock();
  written = syscall(SYS_pwrite64, descriptor, data, length, at);
  if (written > 0) add(WRITE, handle, at, 0, data, (size_t)written);
  unlock();
  return written;
}

ssize_t pwrite(int descriptor, const void *data, size_t length, off_t at) {
  return pwrite64(descriptor, data, length, at);
}

int ftruncate64(int descriptor, off64_t length) {
  uint64_t handle = handle_of(descriptor);
  int done;
  if (handle == 0) return (int)syscall(SYS_ftruncate, descriptor, length);
  lock();
  done = (int)syscall(SYS_ftruncate, descriptor, length);
  if (done == 0) add(TRUNCATE, handle, length, 0, NULL, 0);
  unlock();
  return done;
}

int ftruncate(int descriptor, off_t length) { return ftruncate64(descriptor, length); }

int fallocate64(int descriptor, int mode, off64_t at, off64_t length) {
  uint64_t handle = handle_of(descriptor);
  int done;
  if (handle == 0) return (int)syscall(SYS_fallocate, descriptor, mode, at, length);
  if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) fail("a fallocate that cannot be recorded");
  lock();
  done = (int)syscall(SYS_fallocate, descriptor, mode, at, length);
  if (done == 0 && mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) add(ZERO, handle, at, (uint64_t)length, NULL, 0);
  if (done == 0 && !(mode & FALLOC_FL_KEEP_SIZE)) add(EXTEND, handle, at + length, 0, NULL, 0);
  unlock();
  return done;
}

int fallocate(int descriptor, int mode, off_t at, off_t length) { return fallocate64(descriptor, mode, at, length); }

int posix_fallocate64(int descriptor, off64_t at, off64_t length) {
  return fallocate64(descriptor, 0, at, length) == 0 ? 0 : errno;
}

int posix_fallocate(int descriptor, off_t at, off_t length) { return posix_fallocate64(descriptor, at, length); }

static void wait_like_a_slow_disk(void) {
  struct timespec now, rest = {0, 0};
  clock_gettime(CLOCK_MONOTONIC, &now);
  rest.tv_nsec = (slow_us * 1000) << (2 * (now.tv_nsec / 100 % 4));
  nanosleep(&rest, NULL);
}

static int sync_by(long call, int descriptor) {
  uint64_t handle = handle_of(descriptor);
  int done;
  if (handle == 0) return (int)syscall(call, descriptor);
  note(SYNC_BEGIN, handle, 0, 0, NULL, 0);
  done = (int)syscall(call, descriptor);
  if (done == 0 && slow_us > 0) wait_like_a_slow_disk();
  if (done == 0) note(SYNC_END, handle, 0, 0, NULL, 0);
  return done;
}

int fsync(int descriptor) { return sync_by(SYS_fsync, descriptor); }

int fdatasync(int descriptor) { return sync_by(SYS_fdatasync, descriptor); }

static int change(enum act act, int directory, const char *path, long done) {
  const char *relative = below_root(directory, path);
  if (done == 0 && relative != NULL) add(act, 0, 0, 0, relative, strlen(relative));
  return (int)done;
}

#define UNDER_LOCK(act, directory, path, call) \
  do { \
    int done; \
    if (below_root(directory, path) == NULL) return (int)(call); \
    lock(); \
    done = change(act, directory, path, call); \
    unlock(); \
    return done; \
  } while (0)

int unlink(const char *path) { UNDER_LOCK(UNLINK, AT_FDCWD, path, syscall(SYS_unlink, path)); }

int rmdir(const char *path) { UNDER_LOCK(RMDIR, AT_FDCWD, path, syscall(SYS_rmdir, path)); }

int unlinkat(int directory, const char *path, int flags) {
  UNDER_LOCK(flags & AT_REMOVEDIR ? RMDIR : UNLINK, directory, path, syscall(SYS_unlinkat, directory, path, flags));
}

int mkdir(const char *path, mode_t mode) { UNDER_LOCK(MKDIR, AT_FDCWD, path, syscall(SYS_mkdir, path, mode)); }

int mkdirat(int directory, const char *path, mode_t mode) {
  UNDER_LOCK(MKDIR, directory, path, syscall(SYS_mkdirat, directory, path, mode));
}

int renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags) {
  char both[2 * PATH_BYTES];
  const char *relative = below_root(from_directory, from);
  size_t length;
  long done;
  if (relative == NULL) return (int)syscall(SYS_renameat2, from_directory, from, to_directory, to, flags);
  if (flags & ~(unsigned)RENAME_NOREPLACE) fail("a rename that cannot be recorded");
  length = strlen(relative) + 1;
  memcpy(both, relative, length);
  relative = below_root(to_directory, to);
  if (relative == NULL) fail("a rename out of the recorded directory");
  strcpy(both + length, relative);
  length += strlen(relative);
  lock();
  done = syscall(SYS_renameat2, from_directory, from, to_directory, to, flags);
  if (done == 0) add(RENAME, 0, 0, 0, both, length);
  unlock();
  return (int)done;
}

int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int renameat(int from_directory, const char *from, int to_directory, const char *to) {
  return renameat2(from_directory, from, to_directory, to, 0);
}

int bind(int descriptor, __CONST_SOCKADDR_ARG to, socklen_t size) {
  const struct sockaddr *address = to.__sockaddr__;
  const struct sockaddr_un *local = (const struct sockaddr_un *)(const void *)address;
  if (address->sa_family != AF_UNIX || local->sun_path[0] == '\0') return (int)syscall(SYS_bind, descriptor, address, size);
  UNDER_LOCK(BIND, AT_FDCWD, local->sun_path, syscall(SYS_bind, descriptor, address, size));
}

int connect(int descriptor, __CONST_SOCKADDR_ARG to, socklen_t size) {
  const struct sockaddr *address = to.__sockaddr__;
  if (log_descriptor >= 0 && (address->sa_family == AF_INET || address->sa_family == AF_INET6)) {
    lock();
    track(descriptor);
    unlock();
  }
  return (int)syscall(SYS_connect, descriptor, address, size);
}

ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags) {
  uint64_t handle = handle_of(descriptor);
  ssize_t sent;
  if (handle == 0) return syscall(SYS_sendmsg, descriptor, message, flags);
  lock();
  sent = syscall(SYS_sendmsg, descriptor, message, flags);
  if (sent > 0) add_parts(SEND, handle, 0, message->msg_iov, (size_t)sent);
  unlock();
  return sent;
}

/* The call waits, so it is made without the lock. The library acts on the bytes only after the record. */
static ssize_t received(int descriptor, const void *data, ssize_t got) {
  uint64_t handle = handle_of(descriptor);
  if (handle != 0 && got > 0 && is_connection(descriptor)) note(RECEIVE, handle, 0, 0, data, (size_t)got);
  return got;
}

ssize_t recv(int descriptor, void *data, size_t length, int flags) {
  return received(descriptor, data, syscall(SYS_recvfrom, descriptor, data, length, flags, NULL, NULL));
}

ssize_t read(int descriptor, void *data, size_t length) {
  return received(descriptor, data, syscall(SYS_read, descriptor, data, length));
}
