/* Delivers one event, or says why not. */
#include <meditopia.h>
#include <stdio.h>

int main(void) {
  meditopia_error error;
  meditopia_client *client = NULL;
  meditopia_config *config = meditopia_config_new();
  if (meditopia_config_load_env(config, &error) < 0 || meditopia_client_open(config, &client, &error) < 0 ||
      meditopia_enqueue(client, "token", "user", "signin", NULL, NULL, &error) < 0 ||
      meditopia_client_close(client, 20000, NULL, &error) < 0)
    fprintf(stderr, "%s: %s\n", meditopia_status_name(error.status), error.message);
  meditopia_client_free(client);
  meditopia_config_free(config);
  return error.status < 0;
}
