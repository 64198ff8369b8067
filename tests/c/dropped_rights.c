/* A client of a process that drops its rights, or changes its root directory, after it has opened it.
 *
 *   dropped_rights CONFIG.toml
 *
 *   open             opens a client
 *   enqueue COUNT    enqueues COUNT events of 4 KB, until one fails
 *   setuid UID       as a daemon drops its rights
 *   fork UID         forks a child that drops its rights, enqueues an event, and ends
 *   chroot DIR       as a daemon locks itself in
 *   close_all        closes every descriptor from 3 on
 *   flush MILLISECONDS
 *
 * Each answer is a line of the status, a count, and the error's message behind "retryable: " or "final: ". The
 * count is how many events were enqueued or delivered. */

#define _GNU_SOURCE
#include <grp.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"

static meditopia_client *client;
static char value[4096];

static void answer(meditopia_status status, long count, const meditopia_error *error) {
  const char *kind = status >= 0 ? "" : error->retryable ? "retryable: " : "final: ";
  printf("%s %ld %s%s\n", meditopia_status_name(status), count, kind, status < 0 ? error->message : "");
  fflush(stdout);
}

static meditopia_status open_again(const char *file, meditopia_error *error) {
  meditopia_config *config = meditopia_config_new();
  meditopia_status status = meditopia_config_load_file(config, file, error);
  if (status >= 0) status = meditopia_client_open(config, &client, error);
  meditopia_config_free(config);
  return status;
}

static meditopia_status enqueue_some(long wanted, long *count, meditopia_error *error) {
  meditopia_status status = MEDITOPIA_OK;
  for (*count = 0; *count < wanted; ++*count) {
    status = meditopia_enqueue(client, "token", "u-1", "video", value, "2024-08-06 15:04:05", error);
    if (status < 0) break;
  }
  return status;
}

static void drop_rights(long user) {
  CHECK(setgroups(0, NULL) == 0 && setgid((gid_t)user) == 0 && setuid((uid_t)user) == 0);
}

int main(int argc, char **argv) {
  meditopia_error error;
  meditopia_status status;
  char line[512], path[256];
  long number, count = 0;

  CHECK(argc == 2);
  memset(value, 'x', sizeof value - 1);
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (strcmp(line, "open\n") == 0) {
      status = open_again(argv[1], &error);
      answer(status, 0, &error);
    } else if (sscanf(line, "enqueue %ld", &number) == 1) {
      status = enqueue_some(number, &count, &error);
      answer(status, count, &error);
    } else if (sscanf(line, "flush %ld", &number) == 1) {
      meditopia_report report = {.struct_size = sizeof report};
      status = meditopia_flush(client, (uint32_t)number, &report, &error);
      answer(status, (long)report.delivered, &error);
    } else if (sscanf(line, "setuid %ld", &number) == 1) {
      drop_rights(number);
      answer(MEDITOPIA_OK, 0, &error);
    } else if (sscanf(line, "fork %ld", &number) == 1) {
      pid_t child = fork();
      CHECK(child >= 0);
      if (child == 0) {
        drop_rights(number);
        status = enqueue_some(1, &count, &error);
        answer(status, count, &error);
        _exit(0);
      }
      CHECK(waitpid(child, NULL, 0) == child);
    } else if (strcmp(line, "close_all\n") == 0) {
      for (number = 3; number < 1024; number++) close((int)number);
      answer(MEDITOPIA_OK, 0, &error);
    } else if (sscanf(line, "chroot %255s", path) == 1) {
      CHECK(chroot(path) == 0 && chdir("/") == 0);
      answer(MEDITOPIA_OK, 0, &error);
    } else {
      CHECK(!"a known command");
    }
  }
  return 0;
}
