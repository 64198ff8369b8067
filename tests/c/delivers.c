/* Enqueues one event for each user of the command line and delivers them. The options come from the
 * environment, as `meditopia sandbox -- COMMAND` sets it.
 *
 *   delivers USER... */

#include <stdio.h>

#include <meditopia.h>

int main(int argc, char **argv) {
  meditopia_error error;
  meditopia_client *client = NULL;
  meditopia_config *config = meditopia_config_new();
  meditopia_status status = meditopia_config_set(config, "durability", "memory", &error);

  if (status >= 0) status = meditopia_config_load_env(config, &error);
  if (status >= 0) status = meditopia_client_open(config, &client, &error);
  for (int i = 1; status >= 0 && i < argc; i++)
    status = meditopia_enqueue(client, "t", argv[i], "video", NULL, "2024-08-06 15:04:05", &error);
  if (status >= 0) status = meditopia_client_close(client, 30000, NULL, &error);
  if (status < 0) fprintf(stderr, "%s\n", error.message);
  meditopia_client_free(client);
  meditopia_config_free(config);
  return status < 0;
}
