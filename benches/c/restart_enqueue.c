/* Enqueues short events of a million users in a loop: SPOOL ENDPOINT EVENTS. See restart.py. */
#include <stdio.h>
#include <stdlib.h>

#include "meditopia.h"

static void check(meditopia_status status, const meditopia_error *error) {
  if (status < 0) {
    fprintf(stderr, "%s\n", error->message);
    exit(1);
  }
}

int main(int argc, char **argv) {
  if (argc != 4)
    return 2;
  meditopia_error error = {0};
  meditopia_config *config = meditopia_config_new();
  check(meditopia_config_set(config, "spool", argv[1], &error), &error);
  check(meditopia_config_set(config, "endpoint", argv[2], &error), &error);
  check(meditopia_config_set(config, "role", "enqueue", &error), &error);
  meditopia_client *client = NULL;
  check(meditopia_client_open(config, &client, &error), &error);
  long events = atol(argv[3]);
  for (long i = 0; i < events; i++) {
    char user[32];
    snprintf(user, sizeof user, "u-%ld", i % 1000000);
    check(meditopia_enqueue(client, "t", user, "signin", NULL, "2026-11-30 10:00:00", &error), &error);
  }
  check(meditopia_client_close(client, 0, NULL, &error), &error);
  return 0;
}
