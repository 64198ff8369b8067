/* Preloaded: the clocks and the boot of a host, as a file says.
 *
 * CLOCK_SHIM names the file: nanoseconds to add to the wall clock and to the time since boot, as two
 * int64. It is mapped, so a test steps the clocks of a running program by writing to it. Where a
 * file of the same name with ".boot_id" stands, it is the kernel's boot_id. CLOCK_MONOTONIC stays. */

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

static const int64_t *steps;
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
  map = mmap(NULL, 2 * sizeof *steps, PROT_READ, MAP_SHARED, file, 0);
  if (file < 0 || map == MAP_FAILED) abort();
  steps = map;
  close(file);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  int outcome = real_clock_gettime(clock, time);
  int64_t now;
  if (outcome != 0 || (clock != CLOCK_REALTIME && clock != CLOCK_BOOTTIME)) return outcome;
  now = (int64_t)time->tv_sec * BILLION + time->tv_nsec + steps[clock == CLOCK_BOOTTIME];
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
