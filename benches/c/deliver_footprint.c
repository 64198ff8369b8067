/* A process to look at from outside: it takes one step a line of its input, and says "done" after each.
 *
 *   deliver_footprint SPOOL URL both|enqueue       steps: open, enqueue, flush; it ends with its input
 */

#define _GNU_SOURCE

#include "deliver_open.h"

int main(int argc, char **argv) {
  char step[64];
  meditopia_client *client = NULL;
  if (argc != 4)
    fail("usage", "deliver_footprint SPOOL URL both|enqueue");
  struct where where = {.spool = argv[1], .url = argv[2], .role = argv[3]};
  puts("done");
  fflush(stdout);
  while (fgets(step, sizeof step, stdin) != NULL) {
    step[strcspn(step, "\n")] = '\0';
    if (strcmp(step, "open") == 0)
      client = open_client(&where);
    else if (strcmp(step, "enqueue") == 0)
      enqueue(client, 0);
    else if (strcmp(step, "flush") == 0)
      flush(client);
    else
      fail("unknown step", step);
    puts("done");
    fflush(stdout);
  }
  return 0; /* what is left stays in the spool */
}
