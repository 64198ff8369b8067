/* This library, from enqueue to the API's 204.
 *
 *   deliver_meditopia SPOOL URL EVENTS [--fill | --drain] [--lanes N] [--ca-file FILE]
 *
 * Enqueues EVENTS and delivers them meanwhile. With --fill it only enqueues; with --drain it only delivers
 * the EVENTS that wait in the spool, and `seconds` runs from the opening to the last 204.
 */

#define _GNU_SOURCE

#include <stdbool.h>

#include "deliver_open.h"

int main(int argc, char **argv) {
  bool fill = false, drain = false;
  struct where where = {.role = "both"};

  if (argc < 4)
    fail("usage", "deliver_meditopia SPOOL URL EVENTS [--fill | --drain] [--lanes N] [--ca-file FILE]");
  where.spool = argv[1];
  where.url = argv[2];
  long events = atol(argv[3]);
  for (int i = 4; i < argc; i++) {
    if (strcmp(argv[i], "--fill") == 0)
      fill = true;
    else if (strcmp(argv[i], "--drain") == 0)
      drain = true;
    else if (strcmp(argv[i], "--lanes") == 0 && i + 1 < argc)
      where.lanes = argv[++i];
    else if (strcmp(argv[i], "--ca-file") == 0 && i + 1 < argc)
      where.ca_file = argv[++i];
    else
      fail("unknown option", argv[i]);
  }
  if (fill)
    where.role = "enqueue";

  int64_t began_ns = now_ns();
  meditopia_client *client = open_client(&where);
  for (long i = 0; i < events && !drain; i++)
    enqueue(client, i);
  if (!fill)
    flush(client);
  double seconds = (double)(now_ns() - began_ns) / 1e9;
  close_client(client);
  printf("{\"seconds\": %.6f, \"requests_per_s\": %.1f, \"peak_kib\": %ld}\n", seconds,
         (double)((events + BATCH - 1) / BATCH) / seconds, peak_kib());
  return 0;
}
