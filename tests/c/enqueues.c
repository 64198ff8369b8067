/* A job that only enqueues and ends: its segment stays for a sender.
 *
 *   enqueues CONFIG.toml EVENTS  one event each, of four users in turn */

#include "program.h"

enum { USERS = 4 };

int main(int argc, char **argv) {
  meditopia_client *client;
  char user[32];
  long number;

  CHECK(argc == 3);
  client = open_client(argv[1]);
  for (number = 0; number < atol(argv[2]); number++) {
    snprintf(user, sizeof user, "u-%ld", number % USERS);
    enqueue(client, user, number);
  }
  close_client(client);
  return 0;
}
