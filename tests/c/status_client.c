/* A host that does what it is told, a line at a time, and tells what came of it.
 *
 *   status_client CONFIG.toml [DESCRIPTORS]
 *
 *   enqueue USER NUMBER   one event
 *   fill USER             events of USER, numbered from 0 on, until one is refused
 *   flush MILLISECONDS
 *   exhaust               opens descriptors until there are no more (DESCRIPTORS is the limit)
 *   relent                closes them again
 *   fork COUNT EVENTS     children that enqueue EVENTS each, of users child-<n>, and then wait for the host's end
 *
 * Each line is answered by a status name, for "fill" and "fork" with a count behind it, and the error. */

#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "program.h"

enum { DESCRIPTORS_MAX = 4096, CHILDREN_MAX = 1000 };

static meditopia_client *client;
static int opened[DESCRIPTORS_MAX], opened_count;

static meditopia_status one(const char *user, long number, meditopia_error *error) {
  char value[32];
  snprintf(value, sizeof value, "%ld", number);
  return meditopia_enqueue(client, "token", user, "video", value, "2024-08-06 15:04:05", error);
}

static void tell(meditopia_status status, long count, const meditopia_error *error) {
  printf("%s %ld %s\n", meditopia_status_name(status), count, status < 0 ? error->message : "");
  fflush(stdout);
}

static void be_child(int index, long events, int ready) {
  char user[32];
  long number;
  CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
  snprintf(user, sizeof user, "child-%d", index);
  for (number = 0; number < events; number++) enqueue(client, user, number);
  CHECK(write(ready, "", 1) == 1);
  close(ready);
  for (;;) pause();
}

static void fork_children(long count, long events) {
  int pipe_ends[2], i;
  char byte;
  CHECK(count <= CHILDREN_MAX && pipe(pipe_ends) == 0);
  for (i = 0; i < count; i++) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) be_child(i, events, pipe_ends[1]);
  }
  close(pipe_ends[1]);
  for (i = 0; i < count; i++) CHECK(read(pipe_ends[0], &byte, 1) == 1);
  close(pipe_ends[0]);
}

int main(int argc, char **argv) {
  meditopia_error error;
  meditopia_status status;
  char line[128], user[64];
  long number, count;

  CHECK(argc >= 2);
  client = open_client(argv[1]);
  if (argc == 3) {
    struct rlimit limit = {(rlim_t)atol(argv[2]), (rlim_t)atol(argv[2])};
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  }
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (sscanf(line, "enqueue %63s %ld", user, &number) == 2) {
      status = one(user, number, &error);
      tell(status, 1, &error);
    } else if (sscanf(line, "fill %63s", user) == 1) {
      for (count = 0; (status = one(user, count, &error)) == MEDITOPIA_OK; count++) continue;
      tell(status, count, &error);
    } else if (sscanf(line, "flush %ld", &number) == 1) {
      meditopia_report report = {.struct_size = sizeof report};
      status = meditopia_flush(client, (uint32_t)number, &report, &error);
      tell(status, (long)report.delivered, &error);
    } else if (strcmp(line, "exhaust\n") == 0) {
      while (opened_count < DESCRIPTORS_MAX && (opened[opened_count] = open("/dev/null", O_RDONLY)) >= 0) opened_count++;
      tell(MEDITOPIA_OK, opened_count, &error);
    } else if (strcmp(line, "relent\n") == 0) {
      while (opened_count > 0) close(opened[--opened_count]);
      tell(MEDITOPIA_OK, 0, &error);
    } else if (sscanf(line, "fork %ld %ld", &count, &number) == 2) {
      fork_children(count, number);
      tell(MEDITOPIA_OK, count, &error);
    } else {
      CHECK(!"a command");
    }
  }
  return 0;
}
