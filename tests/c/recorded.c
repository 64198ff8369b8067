/* A program whose system calls are recorded (see recorder.c). It adds a mark to the recording for each
 * acknowledgement.
 *
 *   recorded CONFIG.toml enqueue FIRST COUNT FIRST_USER USERS THREADS BYTES BATCH END
 *   recorded CONFIG.toml send
 *   recorded CONFIG.toml requeue
 *
 * enqueue: enqueues COUNT events, numbered from FIRST on. Event n is of user FIRST_USER + n % USERS and has
 * BYTES bytes of padding; its event_value has the number, BYTES and the padding. One call enqueues BATCH
 * events. END is how the program ends: "close" flushes and closes, "leave" ends without a close, "stay" does
 * so once its standard input ends, "die" ends as a killed process does.
 * send: flushes again and again until its standard input ends, and then once more.
 * requeue: requeues all rejected events and flushes. */

#define _POSIX_C_SOURCE 200809L
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "program.h"

enum { TEXT_BYTES = 8 << 20, TIME_LIMIT_MS = 60000 };

/* Functions of recorder.c; NULL if it is not preloaded. */
extern void record_mark(const char *text) __attribute__((weak));
extern void record_end(void) __attribute__((weak));

static meditopia_client *client;
static long first, count, first_user, users, threads, bytes, batch;
static char *padding;

static void mark(const char *what, long from, long upto) {
  char text[64];
  CHECK(record_mark != NULL && record_end != NULL);
  snprintf(text, sizeof text, "%s %ld %ld", what, from, upto);
  record_mark(text);
}

static size_t event(char *text, long number) {
  return (size_t)sprintf(text,
                         "{\"token\":\"token\",\"partner_user_id\":\"u-%ld\",\"event\":\"video\","
                         "\"event_value\":\"%ld:%ld:%s\",\"received_at\":\"2024-08-06 15:04:05\"}",
                         first_user + number % users, number, bytes, padding);
}

/* All events of a user are enqueued by one thread, so that they have an order. */
static void *enqueue_share(void *argument) {
  meditopia_error error;
  char *text = malloc(TEXT_BYTES);
  size_t accepted;
  long number = first, next, upto;
  CHECK(text != NULL);
  for (; number < first + count; number = upto) {
    size_t length = 1;
    upto = number + batch;
    if (number / batch % threads != *(long *)argument) continue;
    text[0] = '[';
    for (next = number; next < upto; next++) {
      length += event(text + length, next);
      text[length++] = next + 1 < upto ? ',' : ']';
    }
    succeed("enqueue", meditopia_enqueue_json(client, text, length, &accepted, &error), &error);
    CHECK((long)accepted == batch);
    mark("acknowledged", number, upto);
  }
  free(text);
  return NULL;
}

static void enqueue_all(const char *end) {
  pthread_t thread[16];
  long share[16], i;
  CHECK(threads <= 16 && users % threads == 0 && first % users == 0);
  for (i = 0; i < threads; i++) {
    share[i] = i;
    CHECK(pthread_create(&thread[i], NULL, enqueue_share, &share[i]) == 0);
  }
  for (i = 0; i < threads; i++) CHECK(pthread_join(thread[i], NULL) == 0);
  if (strcmp(end, "die") == 0) record_end();
  if (strcmp(end, "close") == 0) close_client(client);
  if (strcmp(end, "stay") == 0) CHECK(getchar() == EOF);
}

static void send_all(void) {
  struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
  do {
    flush(client, TIME_LIMIT_MS);
  } while (poll(&input, 1, 20) == 0);
  flush(client, TIME_LIMIT_MS);
  close_client(client);
}

static void requeue_all(void) {
  meditopia_error error;
  meditopia_cursor *cursor = NULL;
  meditopia_row row = {.struct_size = sizeof row};
  meditopia_status status;
  int64_t ids[1024];
  size_t found = 0, changed = 0;
  succeed("rejected", meditopia_rejected_open(client, NULL, NULL, 0, &cursor, &error), &error);
  while ((status = meditopia_cursor_next(cursor, &row, &error)) == MEDITOPIA_OK && found < 1024) ids[found++] = row.id;
  succeed("rejected", status, &error);
  meditopia_cursor_free(cursor);
  mark("requeue", 0, 0);
  succeed("requeue", meditopia_rejected_requeue(client, ids, found, &changed, &error), &error);
  CHECK(found > 0 && changed == found);
  flush(client, TIME_LIMIT_MS);
  close_client(client);
}

int main(int argc, char **argv) {
  CHECK(argc >= 3);
  client = open_client(argv[1]);
  if (strcmp(argv[2], "enqueue") == 0) {
    CHECK(argc == 11);
    first = atol(argv[3]);
    count = atol(argv[4]);
    first_user = atol(argv[5]);
    users = atol(argv[6]);
    threads = atol(argv[7]);
    bytes = atol(argv[8]);
    padding = calloc(1, (size_t)bytes + 1);
    CHECK(padding != NULL);
    memset(padding, 'x', (size_t)bytes);
    batch = atol(argv[9]);
    enqueue_all(argv[10]);
  } else if (strcmp(argv[2], "send") == 0) {
    send_all();
  } else {
    requeue_all();
  }
  return 0;
}
