/* A library to preload: it shows a program the clocks and the boot ID that a test chooses.
 *
 * CLOCK_SHIM names a file of two int64: the nanoseconds to add to the wall clock and to the time since
 * boot. The file is mapped, so a test sets the clocks of a running program by writing to the file. If
 * a file of the same name with ".boot_id" exists, the program reads it as the kernel's boot ID.
 * CLOCK_MONOTONIC is not changed. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { BILLION = 1000000000 };

static const int64_t *offsets;
static char boot_id[4096];
static int (*real_clock_gettime)(clockid_t, struct timespec *);
static int (*real_open)(const char *, int, ...);

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("CLOCK_SHIM");
  int file;
  void *map;
  *(void **)&real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
  *(void **)&real_open = dlsym(RTLD_NEXT, "open64");
  if (path == NULL) abort();
  snprintf(boot_id, sizeof boot_id, "%s.boot_id", path);
  file = real_open(path, O_RDONLY | O_CLOEXEC);
  map = mmap(NULL, 2 * sizeof *offsets, PROT_READ, MAP_SHARED, file, 0);
  if (file < 0 || map == MAP_FAILED) abort();
  offsets = map;
  close(file);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  int outcome = real_clock_gettime(clock, time);
  int64_t now;
  if (outcome != 0 || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE && clock != CLOCK_BOOTTIME)) return outcome;
  now = (int64_t)time->tv_sec * BILLION + time->tv_nsec + offsets[clock == CLOCK_BOOTTIME];
  time->tv_sec = now / BILLION;
  time->tv_nsec = now % BILLION;
  return 0;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *seconds) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (seconds != NULL) *seconds = now.tv_sec;
  return now.tv_sec;
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  int mode;
  va_start(rest, flags);
  mode = va_arg(rest, int);
  va_end(rest);
  if (strcmp(path, "/proc/sys/kernel/random/boot_id") == 0 && access(boot_id, R_OK) == 0) path = boot_id;
  return real_open(path, flags, mode);
}
