#include <meditopia.h>
#include <stdio.h>

int main(void) {
  meditopia_error error;
  meditopia_report report = {.struct_size = sizeof report};
  meditopia_client *client = NULL;
  meditopia_config *config = meditopia_config_new();
  int failed = meditopia_config_load_env(config, &error) < 0 || meditopia_client_open(config, &client, &error) < 0 ||
               meditopia_enqueue(client, "user-token-1", "user-1", "video", "morning calm", NULL, &error) < 0 ||
               meditopia_client_close(client, 30000, &report, &error) < 0;

  printf("%d delivered, %d rejected\n%s", (int)report.delivered, (int)report.rejected, failed ? error.message : "");
  meditopia_client_free(client);
  meditopia_config_free(config);
  return failed;
}
