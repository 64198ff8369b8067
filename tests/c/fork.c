/* A client that was opened before fork, used on both sides of it.
 *
 *   fork CONFIG.toml CASE sends|forked
 *
 *   idle        it is opened only: a prefork master and its workers
 *   used        events are enqueued before the fork
 *   sending     and delivered; with role "both" the store is open
 *   busy        and two threads enqueue all the time
 *   orphan      and the parent ends at once, without a word
 *   sleeper     the same, and the children do nothing until their input ends
 *
 * sends: a child's flush delivers. forked: it may not, and says so.
 * Users: parent, child-0 ... child-2, busy-0, busy-1, each with its events in order. Prints nothing. */

#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"

enum { CHILDREN = 3, BEFORE = 10, AFTER = 100, BUSY = 5000, PATIENCE_S = 60 };

static meditopia_client *client;
static int asleep;

static void enqueue_some(const char *user, long first, long count) {
  long number;
  for (number = first; number < first + count; number++) enqueue(client, user, number);
}

static void *be_busy(void *user) {
  enqueue_some(user, 0, BUSY);
  return NULL;
}

static void be_child(int index, int may_send) {
  char user[32];
  meditopia_error error;
  meditopia_report report = {.struct_size = sizeof report};
  meditopia_status status;
  alarm(PATIENCE_S);
  while (asleep && getchar() != EOF) continue;
  snprintf(user, sizeof user, "child-%d", index);
  enqueue_some(user, 0, AFTER);
  status = meditopia_flush(client, 30000, &report, &error);
  if (may_send)
    succeed("the child's flush", status, &error);
  else
    CHECK(status == MEDITOPIA_ERROR_FORKED);
  enqueue_some(user, AFTER, AFTER);
  _exit(0);
}

int main(int argc, char **argv) {
  pthread_t thread[2];
  char busy_user[2][8] = {"busy-0", "busy-1"};
  pid_t child[CHILDREN];
  int i, exit_status, used, sending, busy, orphan;

  CHECK(argc == 4);
  asleep = strcmp(argv[2], "sleeper") == 0;
  orphan = asleep || strcmp(argv[2], "orphan") == 0;
  busy = strcmp(argv[2], "busy") == 0;
  sending = busy || orphan || strcmp(argv[2], "sending") == 0;
  used = sending || strcmp(argv[2], "used") == 0;
  alarm(PATIENCE_S);

  client = open_client(argv[1]);
  if (used) enqueue_some("parent", 0, BEFORE);
  if (sending) flush(client, 30000);
  if (asleep) enqueue(client, "parent", BEFORE);
  for (i = 0; busy && i < 2; i++) CHECK(pthread_create(&thread[i], NULL, be_busy, busy_user[i]) == 0);
  for (i = 0; i < CHILDREN; i++) {
    child[i] = fork();
    CHECK(child[i] >= 0);
    if (child[i] == 0) be_child(i, strcmp(argv[3], "sends") == 0);
  }
  if (orphan) _exit(0);
  enqueue_some("parent", used ? BEFORE : 0, AFTER);
  for (i = 0; i < CHILDREN; i++) {
    CHECK(waitpid(child[i], &exit_status, 0) == child[i]);
    CHECK(WIFEXITED(exit_status) && WEXITSTATUS(exit_status) == 0);
  }
  for (i = 0; busy && i < 2; i++) CHECK(pthread_join(thread[i], NULL) == 0);
  flush(client, 30000);
  close_client(client);
  return 0;
}
