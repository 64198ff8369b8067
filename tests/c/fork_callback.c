/* An application whose log callback forks in a thread of the library, and returns in the child, which the
 * header forbids. The child must end without having sent anything.
 *
 *   fork_callback CONFIG.toml RECORD USER
 *
 * Forks at the record of this number that a thread of the library logs. Prints nothing. */

#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"

enum { EVENTS = 250, TRIES = 3000 };

static pthread_t application;
static volatile int countdown;
static volatile pid_t child = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void fork_and_return(const meditopia_log_record *record, void *unused) {
  int is_due;
  (void)record;
  (void)unused;
  if (pthread_equal(pthread_self(), application)) return;
  pthread_mutex_lock(&lock);
  is_due = --countdown == 0;
  pthread_mutex_unlock(&lock);
  if (is_due) child = fork();
}

int main(int argc, char **argv) {
  meditopia_client *client;
  meditopia_error error;
  int number, status, tries;

  CHECK(argc == 4);
  countdown = atoi(argv[2]);
  application = pthread_self();
  client = open_client(argv[1]);
  succeed("callback", meditopia_set_log_callback(client, fork_and_return, NULL, &error), &error);
  for (number = 0; number < EVENTS; number++) enqueue(client, argv[3], number);
  flush(client, 30000);
  close_client(client);
  CHECK(child > 0);
  for (tries = 0; waitpid(child, &status, WNOHANG) != child; tries++) {
    if (tries == TRIES) kill(child, SIGKILL);
    usleep(10000);
  }
  CHECK(tries < TRIES);
  return 0;
}
