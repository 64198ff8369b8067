/* A prefork server: a master that opens the client, and workers that accept connections, enqueue an
 * event for each and answer with their pid.
 *
 *   prefork CONFIG.toml ACKNOWLEDGED WORKERS RECYCLE master|workers
 *
 * A worker ends after RECYCLE requests, and the master starts another for each that ends, however.
 * master: the master enqueues, too, before it forks. HUP: all workers end after their request. TERM:
 * all end. Says where it listens. Writes down what was acknowledged. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "program.h"

enum { WORKERS_MAX = 16 };

static meditopia_client *client;
static int acknowledged, listener;
static volatile sig_atomic_t end_asked;
static sigset_t unblocked;
static pid_t worker[WORKERS_MAX];

static void end_soon(int number) {
  (void)number;
  end_asked = 1;
}

static void enqueue_next(const char *user, long number) {
  char line[64];
  int length;
  enqueue(client, user, number);
  length = snprintf(line, sizeof line, "%s %ld\n", user, number);
  CHECK(write(acknowledged, line, (size_t)length) == length);
}

static void work(long requests) {
  char user[48], text[512], body[16];
  struct timespec now;
  struct pollfd ready = {listener, POLLIN, 0};
  long number = 0;
  int connection, length;
  /* Not even where the master was killed does a worker outlive it. */
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  clock_gettime(CLOCK_MONOTONIC, &now);
  snprintf(user, sizeof user, "%ld-%ld-%ld", (long)getpid(), (long)now.tv_sec, now.tv_nsec);
  while (number < requests) {
    /* Heard only here, so that no request is cut short and no signal missed. */
    if (ppoll(&ready, 1, NULL, &unblocked) < 0 && end_asked) break;
    connection = accept(listener, NULL, NULL);
    if (connection < 0) continue;
    if (read(connection, text, sizeof text) > 0) {
      enqueue_next(user, number++);
      length = snprintf(body, sizeof body, "%ld", (long)getpid());
      length = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", length, body);
      if (send(connection, text, (size_t)length, MSG_NOSIGNAL) < 0) length = 0;
    }
    close(connection);
  }
  _exit(0);
}

static void start(int index, long recycle) {
  worker[index] = fork();
  CHECK(worker[index] >= 0);
  if (worker[index] == 0) work(recycle);
}

static void tell_workers(int workers) {
  int i;
  for (i = 0; i < workers; i++) kill(worker[i], SIGTERM);
}

int main(int argc, char **argv) {
  struct sockaddr_in address;
  struct sigaction action;
  socklen_t size = sizeof address;
  sigset_t heard;
  int workers, i, number;
  long recycle;
  pid_t ended;

  CHECK(argc == 6);
  workers = atoi(argv[3]);
  recycle = atol(argv[4]);
  CHECK(workers <= WORKERS_MAX);
  client = open_client(argv[1]);
  acknowledged = open(argv[2], O_WRONLY | O_APPEND | O_CREAT, 0600);
  CHECK(acknowledged >= 0);
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  CHECK(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 64) == 0);
  CHECK(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
  if (strcmp(argv[5], "master") == 0) enqueue_next("master", 0);

  memset(&action, 0, sizeof action);
  action.sa_handler = end_soon;
  CHECK(sigaction(SIGTERM, &action, NULL) == 0);
  sigemptyset(&heard);
  sigaddset(&heard, SIGTERM);
  sigaddset(&heard, SIGHUP);
  sigaddset(&heard, SIGCHLD);
  CHECK(sigprocmask(SIG_BLOCK, &heard, &unblocked) == 0);
  for (i = 0; i < workers; i++) start(i, recycle);
  fprintf(stderr, "Listening at: http://127.0.0.1:%d\n", ntohs(address.sin_port));
  while (sigwait(&heard, &number) == 0 && number != SIGTERM) {
    if (number == SIGHUP) tell_workers(workers);
    while ((ended = waitpid(-1, NULL, WNOHANG)) > 0)
      for (i = 0; i < workers; i++)
        if (worker[i] == ended) start(i, recycle);
  }
  tell_workers(workers);
  while (wait(NULL) > 0) continue;
  return 0;
}
