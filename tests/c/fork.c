/* A client that is opened before a fork and used by the parent and by three children.
 *
 *   fork CONFIG.toml CASE
 *
 *   idle        the client is only opened before the fork, as by a prefork master
 *   used        events are enqueued before the fork, too
 *   sending     and they are delivered before it; with role "both" the parent sends
 *   busy        and two threads enqueue all the time
 *   nested      like sending, and the children leave their events to children of their own
 *   exits       like sending, and the children free the client in an exit handler
 *   orphan      like sending, but the parent ends right after the fork, without a close
 *   sleeper     like orphan, and the children wait until their input ends
 *   daemon      like used, but the parent ends right after the fork, as daemon() does
 *
 * Each child enqueues, flushes, enqueues again and flushes again. Users: parent, child-0 ... child-2,
 * busy-0, busy-1, each with its events in order. Prints nothing. */

#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"

enum { CHILDREN = 3, BEFORE = 10, AFTER = 100, BUSY = 5000, TIME_LIMIT_S = 60 };

static meditopia_client *client;
static pid_t parent;
static const char *name;

static int is(const char *other) { return strcmp(name, other) == 0; }

static void enqueue_some(const char *user, long first, long count) {
  long number;
  for (number = first; number < first + count; number++) enqueue(client, user, number);
}

static void *enqueue_busily(void *user) {
  enqueue_some(user, 0, BUSY);
  return NULL;
}

/* What the library keeps for the parent must not hear of it. */
static void free_in_child(void) {
  if (getpid() != parent) meditopia_client_free(client);
}

static void wait_for_success(pid_t child) {
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* The list of what was rejected, which is empty. */
static void list(void) {
  meditopia_error error;
  meditopia_cursor *cursor = NULL;
  meditopia_row row = {.struct_size = sizeof row};
  succeed("list", meditopia_rejected_open(client, NULL, NULL, 0, &cursor, &error), &error);
  CHECK(meditopia_cursor_next(cursor, &row, &error) == MEDITOPIA_DONE);
  meditopia_cursor_free(cursor);
}

static void run_child(int index) {
  char user[32];
  pid_t grandchild;
  alarm(TIME_LIMIT_S);
  if (is("nested")) {
    grandchild = fork();
    CHECK(grandchild >= 0);
    if (grandchild > 0) {
      wait_for_success(grandchild);
      flush(client, 30000);
      _exit(0);
    }
    alarm(TIME_LIMIT_S);
  }
  while (is("sleeper") && getchar() != EOF) continue;
  snprintf(user, sizeof user, "child-%d", index);
  enqueue_some(user, 0, AFTER);
  flush(client, 30000);
  list();
  enqueue_some(user, AFTER, AFTER);
  flush(client, 30000);
  if (is("exits")) exit(0);
  _exit(0);
}

int main(int argc, char **argv) {
  pthread_t thread[2];
  char busy_user[2][8] = {"busy-0", "busy-1"};
  pid_t child[CHILDREN];
  int i, used, sending, busy;

  CHECK(argc == 3);
  name = argv[2];
  parent = getpid();
  busy = is("busy");
  sending = busy || is("sending") || is("nested") || is("exits") || is("orphan") || is("sleeper");
  used = sending || is("used") || is("daemon");
  alarm(TIME_LIMIT_S);
  CHECK(atexit(free_in_child) == 0);

  client = open_client(argv[1]);
  if (used) enqueue_some("parent", 0, BEFORE);
  if (sending) flush(client, 30000);
  if (is("sleeper")) enqueue(client, "parent", BEFORE);
  for (i = 0; busy && i < 2; i++) CHECK(pthread_create(&thread[i], NULL, enqueue_busily, busy_user[i]) == 0);
  for (i = 0; i < CHILDREN; i++) {
    child[i] = fork();
    CHECK(child[i] >= 0);
    if (child[i] == 0) run_child(i);
  }
  if (is("orphan") || is("sleeper") || is("daemon")) _exit(0);
  enqueue_some("parent", used ? BEFORE : 0, AFTER);
  for (i = 0; i < CHILDREN; i++) wait_for_success(child[i]);
  for (i = 0; busy && i < 2; i++) CHECK(pthread_join(thread[i], NULL) == 0);
  flush(client, 30000);
  close_client(client);
  return 0;
}
