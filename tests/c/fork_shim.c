/* A library to preload: it forks an idle child at the worst moment, just after a segment or the spool's
 * directory was opened and before the library knows the descriptor. The children live until their
 * input ends. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHILDREN_MAX = 16 };

int open64(const char *path, int flags, ...) {
  static int (*real_open)(const char *, int, ...);
  static int children;
  va_list rest;
  int mode, file;
  char byte;
  va_start(rest, flags);
  mode = va_arg(rest, int);
  va_end(rest);
  if (real_open == NULL) *(void **)&real_open = dlsym(RTLD_NEXT, "open64");
  file = real_open(path, flags, mode);
  if (file < 0 || children >= CHILDREN_MAX) return file;
  if (((flags & O_CREAT) != 0 && strstr(path, "/journal/") != NULL) || (flags & O_DIRECTORY) != 0) {
    children++;
    if (fork() == 0) {
      while (read(STDIN_FILENO, &byte, 1) > 0) continue;
      _exit(0);
    }
  }
  return file;
}
