/* A process that enqueues and sends, with children that never call the library: one forked, one forked
 * by a child, and two started with vfork and posix_spawn.
 *
 *   idle CONFIG.toml EVENTS
 *
 * Prints "ready" and waits to be killed. The children end when their input ends. */

#define _GNU_SOURCE
#include <spawn.h>
#include <unistd.h>

#include "program.h"

extern char **environ;

static void wait_for_end_of_input(void) {
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
  if (child == 0) wait_for_end_of_input();
  child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    if (fork() == 0) wait_for_end_of_input();
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
