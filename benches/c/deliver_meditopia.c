/* This library, from enqueue to the API's 204.
 *
 *   deliver_meditopia SPOOL URL EVENTS [--fill | --drain | --look] [--lanes N] [--ca-file FILE]
 *                     [--ttl SECONDS]
 *
 * Enqueues EVENTS and delivers them meanwhile. With --fill it only enqueues; with --look it only asks for the
 * statistics, as somebody who does not send; with --drain it only delivers
 * the EVENTS that wait in the spool. `seconds` and the CPU are from the opening to the last 204; `disk_bytes`
 * is what the process has the kernel write to disks.
 */

#define _GNU_SOURCE

#include <stdbool.h>

#include "deliver_open.h"

int main(int argc, char **argv) {
  bool fill = false, drain = false, look = false;
  struct where where = {.role = "both"};

  if (argc < 4)
    fail("usage", "deliver_meditopia SPOOL URL EVENTS [--fill | --drain | --look] [--lanes N] [--ca-file FILE] [--ttl SECONDS]");
  where.spool = argv[1];
  where.url = argv[2];
  long events = atol(argv[3]);
  for (int i = 4; i < argc; i++) {
    if (strcmp(argv[i], "--fill") == 0)
      fill = true;
    else if (strcmp(argv[i], "--drain") == 0)
      drain = true;
    else if (strcmp(argv[i], "--look") == 0)
      look = true;
    else if (strcmp(argv[i], "--ttl") == 0 && i + 1 < argc)
      where.ttl = argv[++i];
    else if (strcmp(argv[i], "--lanes") == 0 && i + 1 < argc)
      where.lanes = argv[++i];
    else if (strcmp(argv[i], "--ca-file") == 0 && i + 1 < argc)
      where.ca_file = argv[++i];
    else
      fail("unknown option", argv[i]);
  }
  if (fill || look)
    where.role = "enqueue";

  int64_t began_ns = now_ns(), began_cpu_ns = process_cpu_ns();
  meditopia_client *client = open_client(&where);
  for (long i = 0; i < events && !drain && !look; i++)
    enqueue(client, i);
  if (look)
    ask_for_stats(client, events);
  else if (!fill)
    flush(client);
  double seconds = (double)(now_ns() - began_ns) / 1e9, cpu_us = (double)(process_cpu_ns() - began_cpu_ns) / 1e3;
  double requests = (double)((events + BATCH - 1) / BATCH);
  close_client(client);
  printf("{\"seconds\": %.6f, \"requests_per_s\": %.1f, \"cpu_us_per_request\": %.2f, \"peak_kib\": %ld, "
         "\"disk_bytes\": %ld}\n",
         seconds, requests / seconds, cpu_us / requests, said_by_kernel("status", "VmHWM"),
         said_by_kernel("io", "write_bytes"));
  return 0;
}
