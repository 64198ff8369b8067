/* A process that ends in one of the ways there are, while three threads enqueue.
 *
 *   ends CONFIG.toml ROLE LIFE WAY
 *
 *   _exit, exit, return, quick_exit, abort   as they say
 *   flushing   exit while another thread waits in a flush
 *   closing    exit while another thread closes the client, and enqueues fail
 *   atexit     exit with handlers of the host, set before and after the library was used, that enqueue
 *
 * It ends once a line of input comes. Each acknowledged event is written as a line. */

#define _POSIX_C_SOURCE 200809L
#define _ISOC11_SOURCE
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "program.h"

enum { THREADS = 3, LONGEST_LIFE = 1000000, OF_A_HANDLER = 50 };

static meditopia_client *client;
static long first;
static int closing;

static int enqueue_one(const char *user, long number) {
  char value[32], line[64];
  meditopia_error error;
  meditopia_status status;
  snprintf(value, sizeof value, "%ld", number);
  status = meditopia_enqueue(client, "token", user, "video", value, "2024-08-06 15:04:05", &error);
  if (closing && status == MEDITOPIA_ERROR_CLOSED) return 0;
  succeed("enqueue", status, &error);
  snprintf(line, sizeof line, "%s %ld\n", user, number);
  CHECK(write(STDOUT_FILENO, line, strlen(line)) == (ssize_t)strlen(line));
  return 1;
}

static void *be_busy(void *user) {
  const struct timespec rest = {0, 100000};
  long i;
  for (i = 0; i < LONGEST_LIFE && enqueue_one(user, first + i); i++) nanosleep(&rest, NULL);
  return NULL;
}

static void *wait_in_flush(void *unused) {
  for (;;) meditopia_flush(client, 30000, NULL, NULL);
  return unused;
}

static void *wait_in_close(void *unused) {
  meditopia_client_close(client, 30000, NULL, NULL);
  return unused;
}

static void enqueue_some(const char *user) {
  long i;
  for (i = 0; i < OF_A_HANDLER; i++) enqueue_one(user, first + i);
}

static void early_handler(void) { enqueue_some("early-handler"); }
static void late_handler(void) { enqueue_some("late-handler"); }

int main(int argc, char **argv) {
  static char users[THREADS][8] = {"busy-0", "busy-1", "busy-2"};
  pthread_t thread;
  const char *way;
  int i;

  CHECK(argc == 5);
  first = atol(argv[3]) * LONGEST_LIFE;
  way = argv[4];
  closing = strcmp(way, "closing") == 0;
  if (strcmp(way, "atexit") == 0) CHECK(atexit(early_handler) == 0);
  client = open_client_as(argv[1], "role", argv[2]);
  enqueue_one("main", first);
  if (strcmp(way, "atexit") == 0) CHECK(atexit(late_handler) == 0);
  for (i = 0; i < THREADS; i++) CHECK(pthread_create(&thread, NULL, be_busy, users[i]) == 0);
  if (strcmp(way, "flushing") == 0) CHECK(pthread_create(&thread, NULL, wait_in_flush, NULL) == 0);

  while (getchar() != '\n') continue;
  if (closing)
    CHECK(pthread_create(&thread, NULL, wait_in_close, NULL) == 0);
  else
    enqueue_one("main", first + 1);
  if (strcmp(way, "_exit") == 0) _exit(0);
  if (strcmp(way, "quick_exit") == 0) quick_exit(0);
  if (strcmp(way, "abort") == 0) abort();
  if (strcmp(way, "return") == 0) return 0;
  exit(0);
}
