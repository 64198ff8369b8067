/* A library to preload: it forks an idle child at the worst moment, just after a segment or the sender's
 * lock was opened and before the library knows the descriptor. The children live until their
 * input ends. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHILDREN_MAX = 16 };

static int open_at(int directory, const char *path, int flags, int mode) {
  static int (*real_open)(int, const char *, int, ...);
  static int children;
  int file;
  char byte;
  size_t length = strlen(path);
  if (real_open == NULL) *(void **)&real_open = dlsym(RTLD_NEXT, "openat64");
  file = real_open(directory, path, flags, mode);
  if (file < 0 || children >= CHILDREN_MAX) return file;
  if (((flags & O_CREAT) != 0 && length > 8 && strcmp(path + length - 8, ".segment") == 0) || strcmp(path, "sender.lock") == 0) {
    children++;
    if (fork() == 0) {
      while (read(STDIN_FILENO, &byte, 1) > 0) continue;
      _exit(0);
    }
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
