/* A library to preload: the application closes the descriptor of the ledger while the sender opens it, and puts a
 * file of its own in its place: just before the call number STOLEN_BEFORE, counted from 1, that is made with it. This
 * happens once in a process. The file is STOLEN_FOR. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int watched = -1, calls, is_stolen;

static void before_call(int descriptor) {
  const char *at = getenv("STOLEN_BEFORE");
  int file;
  if (is_stolen || at == NULL || descriptor != watched || ++calls < atoi(at)) return;
  is_stolen = 1;
  file = (int)syscall(SYS_openat, AT_FDCWD, getenv("STOLEN_FOR"), O_RDWR | O_CLOEXEC);
  syscall(SYS_dup3, file, descriptor, O_CLOEXEC);
  syscall(SYS_close, file);
}

static int open_at(int directory, const char *path, int flags, int mode) {
  int file = (int)syscall(SYS_openat, directory, path, flags, mode);
  if (!is_stolen && file >= 0 && (flags & O_ACCMODE) == O_RDWR && strcmp(path, "0000000000000001") == 0) {
    watched = file;
    calls = 0;
  }
  return file;
}

#define OPENAT(name) \
  int name(int directory, const char *path, int flags, ...) { \
    va_list rest; \
    int mode; \
    va_start(rest, flags); \
    mode = va_arg(rest, int); \
    va_end(rest); \
    return open_at(directory, path, flags, mode); \
  }

OPENAT(openat)
OPENAT(openat64)

int statx(int descriptor, const char *path, int flags, unsigned mask, struct statx *about) {
  before_call(descriptor);
  return (int)syscall(SYS_statx, descriptor, path, flags, mask, about);
}

int fstat(int descriptor, struct stat *about) {
  before_call(descriptor);
  return (int)syscall(SYS_fstat, descriptor, about);
}

int fstat64(int descriptor, struct stat64 *about) {
  before_call(descriptor);
  return (int)syscall(SYS_fstat, descriptor, about);
}

int flock(int descriptor, int operation) {
  before_call(descriptor);
  return (int)syscall(SYS_flock, descriptor, operation);
}

ssize_t pread64(int descriptor, void *data, size_t length, off64_t at) {
  before_call(descriptor);
  return syscall(SYS_pread64, descriptor, data, length, at);
}

ssize_t pwrite64(int descriptor, const void *data, size_t length, off64_t at) {
  before_call(descriptor);
  return syscall(SYS_pwrite64, descriptor, data, length, at);
}
