/* Very many short-lived processes, or one that meets what they have left.
 *
 *   swarm CONFIG.toml each FIRST COUNT   COUNT processes, one after the other, each with one event: user
 *                                        "u-<number % 100>", number FIRST and on
 *   swarm CONFIG.toml many COUNT         one process with COUNT events of user "u-<number % 100>"
 *   swarm CONFIG.toml open NUMBER        opens, enqueues one event, user "opener", and writes how many
 *                                        nanoseconds that took
 *   swarm CONFIG.toml drain              flushes, and writes the most memory that it had, in kB */

#define _POSIX_C_SOURCE 200809L
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "program.h"

static void enqueue_next(meditopia_client *client, long number) {
  char user[32];
  snprintf(user, sizeof user, "u-%ld", number % 100);
  enqueue(client, user, number);
}

static void enqueue_from_each(meditopia_client *client, long first, long count) {
  long number;
  int exit_status;
  for (number = first; number < first + count; number++) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      enqueue_next(client, number);
      _exit(0);
    }
    CHECK(waitpid(child, &exit_status, 0) == child);
    CHECK(WIFEXITED(exit_status) && WEXITSTATUS(exit_status) == 0);
  }
}

static long long now_ns(void) {
  struct timespec now;
  CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void write_peak(void) {
  char line[256];
  long peak;
  FILE *file = fopen("/proc/self/status", "r");
  CHECK(file != NULL);
  while (fgets(line, sizeof line, file) != NULL)
    if (sscanf(line, "VmHWM: %ld kB", &peak) == 1) printf("%ld\n", peak);
  fclose(file);
}

int main(int argc, char **argv) {
  long long begun;
  long number;
  meditopia_client *client;

  CHECK(argc >= 3);
  begun = now_ns();
  client = open_client_as(argv[1], "role", "enqueue");
  if (strcmp(argv[2], "open") == 0) {
    enqueue(client, "opener", atol(argv[3]));
    printf("%lld\n", now_ns() - begun);
  } else if (strcmp(argv[2], "each") == 0) {
    enqueue_from_each(client, atol(argv[3]), atol(argv[4]));
  } else if (strcmp(argv[2], "many") == 0) {
    for (number = 0; number < atol(argv[3]); number++) enqueue_next(client, number);
  } else {
    CHECK(flush(client, 1200000).pending == 0);
    write_peak();
  }
  return 0;
}
