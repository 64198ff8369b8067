/* A busy service, which the test kills at some moment: threads enqueue beside the background sender.
 *
 *   service CONFIG.toml LIFE THREADS EVENTS REST
 *
 * Each thread enqueues EVENTS events and pauses for REST microseconds after each; 0 means no pause.
 * When an enqueue has returned, the program writes a line for the event with one write. At the end it
 * waits to be killed. LIFE counts the starts of the program; the numbers of events go on over all of them. */

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

static void *enqueue_share(void *argument) {
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
    CHECK(pthread_create(&thread[i], NULL, enqueue_share, &share[i]) == 0);
  }
  for (;;) pause();
}
