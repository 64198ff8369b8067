/* Starts a program again and again, one after the other, and says what one run costs from the spawn to
 * its end.
 *
 *   cold_driver RUNS PROGRAM [ARGUMENT...]      "{}" at the end of an argument: the number of the run
 *
 * It is small and spawns by vfork, so that its own part is the same few microseconds for everybody.
 */

#define _GNU_SOURCE

#include <spawn.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "clock.h"

enum { ARGUMENTS_MAX = 16, WARM_UP = 5 };

extern char **environ;

static char numbered[ARGUMENTS_MAX][4096];

/* The arguments of a run, with its number in them. */
static void number(char **to, char **from, int count, int run) {
  for (int i = 0; i < count; i++) {
    size_t length = strlen(from[i]);
    if (length >= 2 && strcmp(from[i] + length - 2, "{}") == 0) {
      snprintf(numbered[i], sizeof numbered[i], "%.*s%d", (int)length - 2, from[i], run);
      to[i] = numbered[i];
    } else {
      to[i] = from[i];
    }
  }
  to[count] = NULL;
}

static double spawn_and_wait(char **arguments, struct rusage *used) {
  pid_t child;
  int status;
  int64_t began_ns = now_ns();
  if (posix_spawn(&child, arguments[0], NULL, NULL, arguments, environ) != 0)
    fail(arguments[0], "cannot start");
  if (wait4(child, &status, 0, used) < 0 || status != 0)
    fail(arguments[0], "failed");
  return (double)(now_ns() - began_ns) / 1000;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *values, int count) {
  qsort(values, (size_t)count, sizeof *values, by_size);
  return values[count / 2];
}

static double us(struct timeval time) { return (double)time.tv_sec * 1e6 + (double)time.tv_usec; }

int main(int argc, char **argv) {
  int runs = argc < 3 ? 0 : atoi(argv[1]);
  char *arguments[ARGUMENTS_MAX + 1];
  struct rusage used;

  if (runs < 1 || argc - 2 > ARGUMENTS_MAX) {
    fprintf(stderr, "usage: cold_driver RUNS PROGRAM [ARGUMENT...]\n");
    return 2;
  }
  double *wall_us = calloc((size_t)runs, sizeof *wall_us), *cpu_us = calloc((size_t)runs, sizeof *cpu_us);
  for (int run = -WARM_UP; run < runs; run++) {
    number(arguments, argv + 2, argc - 2, run + WARM_UP);
    double took_us = spawn_and_wait(arguments, &used);
    if (run >= 0) {
      wall_us[run] = took_us;
      cpu_us[run] = us(used.ru_utime) + us(used.ru_stime);
    }
  }
  printf("{\"us\": %.1f, \"cpu_us\": %.1f, \"page_faults\": %ld, \"peak_kib\": %ld}\n", median(wall_us, runs),
         median(cpu_us, runs), used.ru_minflt, used.ru_maxrss);
  return 0;
}
