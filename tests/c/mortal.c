/* A busy service that is killed at any moment: threads that enqueue beside the background sender.
 *
 *   mortal CONFIG.toml LIFE THREADS EVENTS REST
 *
 * Each thread enqueues EVENTS, and rests for REST microseconds after each, or not at all for 0.
 * Writes a line for each event after its enqueue has returned, each with one write, and then waits
 * for its death. Events are numbered on over all lives. */

#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "program.h"

enum { USERS_OF_A_THREAD = 10, LONGEST_LIFE = 1000000 };

static meditopia_client *client;
static long life, events;
static struct timespec rest;

static void *live(void *argument) {
  char user[32], line[64];
  long i, number;
  for (i = 0; i < events; i++) {
    number = life * LONGEST_LIFE + i;
    snprintf(user, sizeof user, "u-%ld-%ld", *(long *)argument, i % USERS_OF_A_THREAD);
    enqueue(client, user, number);
    snprintf(line, sizeof line, "%s %ld\n", user, number);
    CHECK(write(STDOUT_FILENO, line, strlen(line)) == (ssize_t)strlen(line));
    if (rest.tv_nsec > 0) nanosleep(&rest, NULL);
  }
  return NULL;
}

int main(int argc, char **argv) {
  pthread_t thread[16];
  long share[16], threads, i;

  CHECK(argc == 6);
  client = open_client(argv[1]);
  life = atol(argv[2]);
  threads = atol(argv[3]);
  events = atol(argv[4]);
  rest.tv_nsec = atol(argv[5]) * 1000;
  CHECK(threads <= 16 && events <= LONGEST_LIFE);
  for (i = 0; i < threads; i++) {
    share[i] = i;
    CHECK(pthread_create(&thread[i], NULL, live, &share[i]) == 0);
  }
  for (;;) pause();
}
