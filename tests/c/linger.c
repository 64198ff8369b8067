/* A process that keeps its client open, so that a test can read the spool meanwhile.
 *
 *   linger CONFIG.toml          enqueues, flushes, prints "ready" and closes when its input ends
 *   linger CONFIG.toml command  asks the sender, another process, for a hold and a resume */

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
