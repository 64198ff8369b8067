/* Forks without end from a loaded process: two threads enqueue and the sender sends all the while,
 * so that each fork finds some lock held.
 *
 *   storm CONFIG.toml FORKS
 *
 * A child (every fourth: its own child) enqueues a few events at once, and every tenth sees that it may not send. Between them
 * programs are started by vfork and posix_spawn. Users: child-0 ... and busy-0, busy-1; prints how
 * many events each busy one has enqueued. */

#define _GNU_SOURCE
#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"

enum { OF_A_CHILD = 3, PATIENCE_S = 60 };

extern char **environ;
static meditopia_client *client;
static volatile int ended;
static long busy[2];

static void *be_busy(void *argument) {
  const int index = *(int *)argument;
  char user[16];
  snprintf(user, sizeof user, "busy-%d", index);
  while (!ended) {
    enqueue(client, user, busy[index]++);
    usleep(100);
  }
  return NULL;
}

static void be_child(long index) {
  meditopia_report report = {.struct_size = sizeof report};
  char user[32];
  long number;
  alarm(PATIENCE_S);
  snprintf(user, sizeof user, "child-%ld", index);
  for (number = 0; number < OF_A_CHILD; number++) enqueue(client, user, number);
  if (index % 10 == 0) CHECK(meditopia_flush(client, 30000, &report, NULL) == MEDITOPIA_ERROR_FORKED);
  _exit(0);
}

static void expect_good_end(pid_t child) {
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char **argv) {
  static char *nothing[] = {"true", NULL};
  static int index[2] = {0, 1};
  pthread_t thread[2];
  pid_t child;
  long forks, i;

  CHECK(argc == 3);
  forks = atol(argv[2]);
  client = open_client(argv[1]);
  enqueue(client, "first", 0);
  flush(client, 30000);
  for (i = 0; i < 2; i++) CHECK(pthread_create(&thread[i], NULL, be_busy, &index[i]) == 0);
  for (i = 0; i < forks; i++) {
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      if (i % 4 == 0) {
        child = fork();
        CHECK(child >= 0);
        if (child > 0) {
          alarm(PATIENCE_S);
          expect_good_end(child);
          _exit(0);
        }
      }
      be_child(i);
    }
    expect_good_end(child);
    if (i % 10 == 5) {
      child = vfork();
      CHECK(child >= 0);
      if (child == 0) {
        execv("/bin/true", nothing);
        _exit(1);
      }
      expect_good_end(child);
      CHECK(posix_spawn(&child, "/bin/true", NULL, NULL, nothing, environ) == 0);
      expect_good_end(child);
    }
  }
  ended = 1;
  for (i = 0; i < 2; i++) CHECK(pthread_join(thread[i], NULL) == 0);
  flush(client, 60000);
  close_client(client);
  printf("%ld %ld\n", busy[0], busy[1]);
  return 0;
}
