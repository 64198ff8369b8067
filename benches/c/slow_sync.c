/* For LD_PRELOAD: each sync takes SLOW_SYNC_MS longer, as on a disk that is slower than this machine's. */

#define _GNU_SOURCE

#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static int after_a_pause(const char *name, int file) {
  int (*sync)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  const char *ms = getenv("SLOW_SYNC_MS");
  nanosleep(&(struct timespec){.tv_nsec = (ms != NULL ? atol(ms) : 0) * 1000000}, NULL);
  return sync(file);
}

int fdatasync(int file) { return after_a_pause("fdatasync", file); }

int fsync(int file) { return after_a_pause("fsync", file); }
