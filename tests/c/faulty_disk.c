/* A library to preload: it makes operations on chosen files fail, as a faulty disk does.
 *
 * FAULTY_DISK names a file with one line, which is read again at every call:
 *
 *   OPERATION ERRNO PATH [GOOD [BAD]]   OPERATION (write, read, sync, truncate, allocate, rename or
 *                                       lock) on a file whose path contains PATH fails with ERRNO; the first GOOD such operations
 *                                       succeed, and after BAD of them that fail, they succeed again;
 *                                       with ERRNO 0 it hangs until the file has another line
 *
 * Without the file, or if it is empty, every operation succeeds. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Uses system calls, because open and read would call the functions of this library. */
static long read_order(char *text, size_t size) {
  const char *path = getenv("FAULTY_DISK");
  long fd, length;
  if (path == NULL) return 0;
  fd = syscall(SYS_openat, -100, path, 0, 0);
  if (fd < 0) return 0;
  length = syscall(SYS_read, fd, text, size - 1);
  syscall(SYS_close, fd);
  return length > 0 ? length : 0;
}

static pthread_mutex_t counts = PTHREAD_MUTEX_INITIALIZER;

/* Returns once the file has another line than this one. */
static void hang(const char *order) {
  char now[512];
  long length;
  do {
    usleep(1000);
    length = read_order(now, sizeof now);
    now[length] = 0;
  } while (strcmp(now, order) == 0);
}

/* Whether this operation on this path must fail. If so, errno is set. */
static int fails_at(const char *operation, const char *path) {
  char text[512], wanted[16], part[256];
  static char order[512];
  static int passed, failed;
  int error, good = 0, bad = 0, fields, kept = errno;
  long length = read_order(text, sizeof text);
  errno = kept;
  if (length == 0) return 0;
  text[length] = 0;
  fields = sscanf(text, "%15s %d %255s %d %d", wanted, &error, part, &good, &bad);
  if (fields < 3) return 0;
  if (strcmp(wanted, operation) != 0 || strstr(path, part) == NULL) return 0;
  if (error == 0) {
    hang(text);
    errno = kept;
    return 0;
  }
  pthread_mutex_lock(&counts);
  if (strcmp(order, text) != 0) {
    strcpy(order, text);
    passed = failed = 0;
  }
  if (passed < good || (fields == 5 && failed == bad)) {
    passed++;
    pthread_mutex_unlock(&counts);
    errno = kept;
    return 0;
  }
  failed++;
  pthread_mutex_unlock(&counts);
  errno = error;
  return 1;
}

static int fails(const char *operation, int fd) {
  char link[64], path[512];
  int kept = errno;
  long length;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  length = readlink(link, path, sizeof path - 1);
  errno = kept;
  if (length <= 0) return 0;
  path[length] = 0;
  return fails_at(operation, path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t size) {
  return fails("write", fd) ? -1 : REAL(write)(fd, data, size);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
  return fails("write", fd) ? -1 : REAL(pwrite64)(fd, data, size, at);
}

ssize_t read(int fd, void *data, size_t size) { return fails("read", fd) ? -1 : REAL(read)(fd, data, size); }

ssize_t pread64(int fd, void *data, size_t size, off64_t at) {
  return fails("read", fd) ? -1 : REAL(pread64)(fd, data, size, at);
}

int flock(int fd, int how) { return fails("lock", fd) ? -1 : REAL(flock)(fd, how); }

int fsync(int fd) { return fails("sync", fd) ? -1 : REAL(fsync)(fd); }

int fdatasync(int fd) { return fails("sync", fd) ? -1 : REAL(fdatasync)(fd); }

int ftruncate64(int fd, off64_t size) { return fails("truncate", fd) ? -1 : REAL(ftruncate64)(fd, size); }

int fallocate64(int fd, int mode, off64_t at, off64_t size) {
  return fails("allocate", fd) ? -1 : REAL(fallocate64)(fd, mode, at, size);
}

/* Only the kind with flags: a plain rename is always there. */
int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
  char link[64], path[512];
  int kept = errno;
  long length;
  snprintf(link, sizeof link, "/proc/self/fd/%d", to_dir);
  length = readlink(link, path, sizeof path - 1);
  errno = kept;
  if (length < 0) length = 0;
  snprintf(path + length, sizeof path - (size_t)length, "/%s", to);
  return fails_at("rename", path) ? -1 : REAL(renameat2)(from_dir, from, to_dir, to, flags);
}
