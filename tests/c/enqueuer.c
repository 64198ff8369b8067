/* A process that enqueues what it is told to, one event after the other.
 *
 *   enqueuer CONFIG.toml ROLE
 *
 * For each line "USER NUMBER" of its input it enqueues that event, and answers with the same line
 * once that has returned; for a line "?" it answers with the sender's pid and when it was last seen.
 * It ends with its input, without a close, as most processes do. */

#include <string.h>
#include <unistd.h>

#include "program.h"

static void answer(const char *line) {
  CHECK(write(STDOUT_FILENO, line, strlen(line)) == (ssize_t)strlen(line));
}

static void answer_stats(meditopia_client *client) {
  char line[64];
  meditopia_error error;
  meditopia_stats stats = {.struct_size = sizeof stats};
  succeed("stats", meditopia_get_stats(client, &stats, &error), &error);
  snprintf(line, sizeof line, "%" PRId64 " %" PRId64 "\n", stats.sender_pid, stats.sender_seen_ms);
  answer(line);
}

int main(int argc, char **argv) {
  char line[128], user[64];
  long number;
  meditopia_client *client;

  CHECK(argc == 3);
  client = open_client_as(argv[1], "role", argv[2]);
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (strcmp(line, "?\n") == 0) {
      answer_stats(client);
      continue;
    }
    CHECK(sscanf(line, "%63s %ld", user, &number) == 2);
    enqueue(client, user, number);
    answer(line);
  }
  return 0;
}
