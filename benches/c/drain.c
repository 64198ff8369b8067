/* Delivers what is in a spool, until its standard input ends. Prints "draining" once it is about to
 * start, and at the end a JSON object of what it did.
 *
 *   drain SPOOL ENDPOINT
 */

#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>

#include <meditopia.h>

#include "clock.h"

enum { FLUSH_MS = 200 };

static bool go_on(void) {
  struct pollfd input = {.fd = 0, .events = POLLIN};
  return poll(&input, 1, 0) == 0;
}

int main(int argc, char **argv) {
  meditopia_error error;
  meditopia_stats stats = {.struct_size = sizeof stats};
  meditopia_client *client = NULL;
  meditopia_config *config = meditopia_config_new();

  if (argc != 3) {
    fprintf(stderr, "usage: drain SPOOL ENDPOINT\n");
    return 2;
  }
  if (meditopia_config_set(config, "spool", argv[1], &error) < 0 ||
      meditopia_config_set(config, "endpoint", argv[2], &error) < 0 ||
      meditopia_config_set(config, "bearer_token", "bench", &error) < 0 ||
      meditopia_client_open(config, &client, &error) < 0)
    fail("open", error.message);
  meditopia_config_free(config);
  puts("draining");
  fflush(stdout);
  while (go_on()) {
    meditopia_status status = meditopia_flush(client, FLUSH_MS, NULL, &error);
    if (status < 0 && status != MEDITOPIA_ERROR_TIMEOUT)
      fail("flush", error.message);
    if (status == MEDITOPIA_OK)
      nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); /* there may be nothing yet */
  }
  if (meditopia_get_stats(client, &stats, &error) < 0)
    fail("stats", error.message);
  printf("{\"delivered\": %" PRIu64 ", \"rejected\": %" PRIu64 "}\n", stats.delivered, stats.rejected);
  fflush(stdout);
  _Exit(0); /* what is left stays in the spool */
}
