/* Many forks from a busy process: two threads enqueue and the sender sends all the time, so that at each
 * fork some lock is held, and the sender is in some step.
 *
 *   fork_storm CONFIG.toml FORKS
 *
 * Each child enqueues a few events at once and flushes; every fourth child leaves this to a child of its
 * own. Between the forks, programs are started with vfork and posix_spawn. Users: first, child-0 ...,
 * busy-0 and busy-1. Prints how many events busy-0 and busy-1 have. */

#define _GNU_SOURCE
#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"

enum { EVENTS_PER_CHILD = 3, TIME_LIMIT_S = 60 };

extern char **environ;
static meditopia_client *client;
static volatile int ended;
static long busy[2];

static void *enqueue_busily(void *argument) {
  const int index = *(int *)argument;
  char user[16];
  snprintf(user, sizeof user, "busy-%d", index);
  while (!ended) {
    enqueue(client, user, busy[index]++);
    usleep(100);
  }
  return NULL;
}

static void run_child(long index) {
  char user[32];
  long number;
  alarm(TIME_LIMIT_S);
  snprintf(user, sizeof user, "child-%ld", index);
  for (number = 0; number < EVENTS_PER_CHILD; number++) enqueue(client, user, number);
  flush(client, 30000);
  _exit(0);
}

static void wait_for_success(pid_t child) {
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
  for (i = 0; i < 2; i++) CHECK(pthread_create(&thread[i], NULL, enqueue_busily, &index[i]) == 0);
  for (i = 0; i < forks; i++) {
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      if (i % 4 == 0) {
        child = fork();
        CHECK(child >= 0);
        if (child > 0) {
          alarm(TIME_LIMIT_S);
          wait_for_success(child);
          _exit(0);
        }
      }
      run_child(i);
    }
    wait_for_success(child);
    if (i % 10 == 5) {
      child = vfork();
      CHECK(child >= 0);
      if (child == 0) {
        execv("/bin/true", nothing);
        _exit(1);
      }
      wait_for_success(child);
      CHECK(posix_spawn(&child, "/bin/true", NULL, NULL, nothing, environ) == 0);
      wait_for_success(child);
    }
  }
  ended = 1;
  for (i = 0; i < 2; i++) CHECK(pthread_join(thread[i], NULL) == 0);
  flush(client, 60000);
  close_client(client);
  printf("%ld %ld\n", busy[0], busy[1]);
  return 0;
}
