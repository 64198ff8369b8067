/* An application with a handler that interrupts system calls (no SA_RESTART), and a timer that runs it.
 *
 *   interrupted CONFIG.toml MICROSECONDS USER EVENTS
 *
 * Opens a client, enqueues EVENTS events of USER, flushes, reads the statistics, closes, and prints "done".
 * With 0 MICROSECONDS there is no timer. */

#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <sys/time.h>

#include "program.h"

static void interrupt(int signal) { (void)signal; }

int main(int argc, char **argv) {
  meditopia_error error;
  meditopia_stats stats = {.struct_size = sizeof stats};
  struct sigaction action;
  struct itimerval timer;
  meditopia_client *client;
  long number, microseconds, events;

  CHECK(argc == 5);
  microseconds = atol(argv[2]);
  events = atol(argv[4]);
  memset(&action, 0, sizeof action);
  action.sa_handler = interrupt;
  CHECK(sigaction(SIGALRM, &action, NULL) == 0);
  memset(&timer, 0, sizeof timer);
  timer.it_value.tv_usec = timer.it_interval.tv_usec = microseconds;
  CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
  client = open_client(argv[1]);
  for (number = 0; number < events; number++) enqueue(client, argv[3], number);
  flush(client, 30000);
  succeed("stats", meditopia_get_stats(client, &stats, &error), &error);
  close_client(client);
  printf("done\n");
  return 0;
}
