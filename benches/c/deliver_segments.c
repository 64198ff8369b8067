/* Leaves SEGMENTS segments of EVENTS events each in a spool, as short processes do: each opens, enqueues, ends.
 *
 *   deliver_segments SPOOL URL SEGMENTS EVENTS
 */

#define _GNU_SOURCE

#include <sys/wait.h>
#include <unistd.h>

#include "deliver_open.h"

int main(int argc, char **argv) {
  if (argc != 5)
    fail("usage", "deliver_segments SPOOL URL SEGMENTS EVENTS");
  struct where where = {.spool = argv[1], .url = argv[2], .role = "enqueue"};
  long segments = atol(argv[3]), events = atol(argv[4]);
  for (long segment = 0; segment < segments; segment++) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
      meditopia_client *client = open_client(&where);
      for (long i = 0; i < events; i++)
        enqueue(client, segment * events + i);
      _exit(0); /* nothing acknowledged is lost by that */
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
      fail("process", "failed");
  }
  puts("{}");
  return 0;
}
