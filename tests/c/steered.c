/* A host that does what its input says, one line at a time, and answers each line with one.
 *
 *   steered CONFIG.toml
 *
 *   enqueue USER NUMBER   an event at a fixed time                 ok
 *   now USER NUMBER       an event without received_at             ok
 *   flush MILLISECONDS    STATUS delivered expired pending         MEDITOPIA_OK 1 0 0
 */

#include <string.h>

#include "host.h"

static void carry_out(meditopia_client *client, const char *line) {
  meditopia_report report = {.struct_size = sizeof report};
  meditopia_status status;
  meditopia_error error;
  char user[64], number[32];
  unsigned timeout_ms;
  if (sscanf(line, "flush %u", &timeout_ms) == 1) {
    status = meditopia_flush(client, timeout_ms, &report, &error);
    printf("%s %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", meditopia_status_name(status), report.delivered,
           report.expired, report.pending);
    return;
  }
  if (sscanf(line, "now %63s %31s", user, number) == 2) {
    succeed("enqueue", meditopia_enqueue(client, "token", user, "video", number, NULL, &error), &error);
  } else {
    CHECK(sscanf(line, "enqueue %63s %31s", user, number) == 2);
    enqueue(client, user, atol(number));
  }
  printf("ok\n");
}

int main(int argc, char **argv) {
  char line[256];
  meditopia_client *client;
  CHECK(argc == 2);
  client = open_client(argv[1]);
  printf("ready\n");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin) != NULL) {
    carry_out(client, line);
    fflush(stdout);
  }
  close_client(client);
  return 0;
}
