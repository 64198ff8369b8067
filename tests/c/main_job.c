/* What the library is for: threads that enqueue, and a flush until nothing waits.
 *
 *   main_job CONFIG.toml THREADS USERS FIRST LAST
 *
 * Each user has the events FIRST to LAST - 1; the threads share the users out among them. Prints
 * the report of each flush. */

#define _POSIX_C_SOURCE 200809L
#include <pthread.h>

#include "program.h"

static meditopia_client *client;
static long threads, users, first, last;

static void *enqueue_share(void *argument) {
  char user[32];
  long number, index;
  for (number = first; number < last; number++) {
    for (index = *(long *)argument; index < users; index += threads) {
      snprintf(user, sizeof user, "u-%ld", index);
      enqueue(client, user, number);
    }
  }
  return NULL;
}

int main(int argc, char **argv) {
  pthread_t thread[16];
  long share[16], i;
  meditopia_report report;

  CHECK(argc == 6);
  client = open_client(argv[1]);
  threads = atol(argv[2]);
  users = atol(argv[3]);
  first = atol(argv[4]);
  last = atol(argv[5]);
  CHECK(threads <= 16);
  for (i = 0; i < threads; i++) {
    share[i] = i;
    CHECK(pthread_create(&thread[i], NULL, enqueue_share, &share[i]) == 0);
  }
  for (i = 0; i < threads; i++) CHECK(pthread_join(thread[i], NULL) == 0);
  do {
    report = flush(client, 300000);
    print_report(&report);
  } while (report.pending > 0);
  close_client(client);
  return 0;
}
