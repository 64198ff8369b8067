/* A host whose spool can be looked at while it sends.
 *
 *   linger CONFIG.toml          enqueues, flushes, says "ready" and lives until its input ends
 *   linger CONFIG.toml command  has the sender, another process, carry out two commands */

#include "program.h"

int main(int argc, char **argv) {
  meditopia_error error;
  meditopia_client *client;
  long number;

  CHECK(argc >= 2);
  client = open_client(argv[1]);
  if (argc == 3) {
    succeed("hold", meditopia_hold(client, &error), &error);
    succeed("resume", meditopia_resume(client, &error), &error);
  } else {
    for (number = 0; number < 10; number++) enqueue(client, "u-1", number);
    flush(client, 30000);
    enqueue(client, "u-1", number);
    printf("ready\n");
    fflush(stdout);
    while (getchar() != EOF) continue;
  }
  close_client(client);
  return 0;
}
