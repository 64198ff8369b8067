/* A sender and writer whose children never call the library: forked, forked twice, and started by
 * vfork or posix_spawn. Says "ready" and waits for its death; the children end with their input.
 *
 *   idle CONFIG.toml EVENTS */

#define _GNU_SOURCE
#include <spawn.h>
#include <unistd.h>

#include "program.h"

extern char **environ;

static void sleep_on(void) {
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) continue;
  _exit(0);
}

int main(int argc, char **argv) {
  static char *cat[] = {"cat", NULL};
  meditopia_client *client;
  long number, events;
  pid_t child;

  CHECK(argc == 3);
  events = atol(argv[2]);
  client = open_client(argv[1]);
  enqueue(client, "parent", 0);
  flush(client, 30000);
  for (number = 1; number < events; number++) enqueue(client, "parent", number);

  child = fork();
  CHECK(child >= 0);
  if (child == 0) sleep_on();
  child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    if (fork() == 0) sleep_on();
    _exit(0);
  }
  child = vfork();
  CHECK(child >= 0);
  if (child == 0) {
    execv("/bin/cat", cat);
    _exit(1);
  }
  CHECK(posix_spawn(&child, "/bin/cat", NULL, NULL, cat, environ) == 0);
  printf("ready\n");
  fflush(stdout);
  for (;;) pause();
}
