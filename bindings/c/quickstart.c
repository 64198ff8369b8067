/* Queues 300 events, of which two are of users that the API does not know, delivers them, and lists
 * what was rejected.
 *
 *   quickstart CONFIG.toml      options from a file, then from the environment (MEDITOPIA_SPOOL,
 *                               MEDITOPIA_BEARER_TOKEN_FILE ...), which wins. README.md shows both.
 */

#include <inttypes.h>
#include <stdio.h>

#include <meditopia.h>

static meditopia_error error;

/* Says what went wrong; the exit code of the program. */
static int failed(const char *what) {
  fprintf(stderr, "%s: %s: %s\n", what, meditopia_status_name(error.status), error.message);
  return 1;
}

static int list_rejected(meditopia_client *client) {
  meditopia_cursor *cursor = NULL;
  meditopia_row row = {.struct_size = sizeof row};
  meditopia_status status = meditopia_rejected_open(client, NULL, NULL, 0, &cursor, &error);

  while (status == MEDITOPIA_OK && (status = meditopia_cursor_next(cursor, &row, &error)) == MEDITOPIA_OK)
    printf("rejected #%" PRId64 ": HTTP %" PRId32 " %s %s\n  %s\n", row.id, row.http_status, row.api_code,
           row.message, row.event_json);
  meditopia_cursor_free(cursor);
  return status == MEDITOPIA_DONE ? 0 : failed("list");
}

static int run(meditopia_client *client) {
  meditopia_report report = {.struct_size = sizeof report};
  meditopia_status status;
  char user[32], token[32];
  int i;

  for (i = 0; i < 300; i++) {
    /* The sandbox knows nobody whose id starts with "unknown". */
    snprintf(user, sizeof user, "%s-%d", i % 150 == 42 ? "unknown" : "user", i);
    snprintf(token, sizeof token, "token-%d", i);
    if (meditopia_enqueue(client, token, user, "video", "morning calm", NULL, &error) < 0)
      return failed("enqueue");
  }
  status = meditopia_flush(client, 60000, &report, &error);
  printf("delivered %" PRIu64 ", rejected %" PRIu64 ", pending %" PRIu64 ", in doubt %" PRIu64 "\n",
         report.delivered, report.rejected, report.pending, report.in_doubt);
  return status < 0 ? failed("flush") : list_rejected(client);
}

int main(int argc, char **argv) {
  meditopia_config *config = meditopia_config_new();
  meditopia_client *client = NULL;
  int exit_code;

  if (argc > 2) {
    fprintf(stderr, "usage: %s [CONFIG.toml]\n", argv[0]);
    exit_code = 2;
  } else if (argc == 2 && meditopia_config_load_file(config, argv[1], &error) < 0) {
    exit_code = failed(argv[1]);
  } else if (meditopia_config_load_env(config, &error) < 0) {
    exit_code = failed("environment");
  } else if (meditopia_client_open(config, &client, &error) < 0) {
    exit_code = failed("open");
  } else {
    exit_code = run(client);
  }
  meditopia_client_free(client); /* what is not delivered waits in the spool */
  meditopia_config_free(config);
  return exit_code;
}
