/* The whole life of a short process with this library: load, open, enqueue one event, close.
 *
 *   cold_meditopia SPOOL      without SPOOL it is only loaded
 */

#include <stdio.h>

#include <meditopia.h>

int main(int argc, char **argv) {
  meditopia_error error;
  meditopia_client *client = NULL;

  if (argc < 2)
    return meditopia_abi_version() == 0; /* so that it is needed at all */
  meditopia_config *config = meditopia_config_new();
  if (meditopia_config_set(config, "spool", argv[1], &error) < 0 ||
      meditopia_config_set(config, "role", "enqueue", &error) < 0 ||
      meditopia_config_set(config, "endpoint", "http://127.0.0.1:9/x", &error) < 0 ||
      meditopia_client_open(config, &client, &error) < 0 ||
      meditopia_enqueue(client, "user-token-00000000042", "user-0000042", "video", "morning calm", NULL, &error) < 0 ||
      meditopia_client_close(client, 0, NULL, &error) < 0) {
    fprintf(stderr, "%s\n", error.message);
    return 1;
  }
  meditopia_client_free(client);
  meditopia_config_free(config);
  return 0;
}
