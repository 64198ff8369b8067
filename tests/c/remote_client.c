/* A host that does what its input says, one line at a time, and answers each line with one.
 *
 *   remote_client CONFIG.toml
 *
 *   enqueue USER NUMBER   an event at a fixed time                 ok
 *   users FROM TO         an event each of u-FROM to u-TO, all in one record      ok
 *   now USER NUMBER       an event without received_at             ok
 *   flush MILLISECONDS    STATUS delivered expired pending         MEDITOPIA_OK 1 0 0
 *   complaint             the message of the last flush that failed
 *   stats                 the figures as a JSON object
 *   log                   the next record                          LEVEL TIME_MS MESSAGE, or "none"
 *   in_doubt, rejected    the rows as a JSON array, without their messages
 *   hold, resume          MEDITOPIA_OK
 *   token TOKEN           sets the bearer token                    MEDITOPIA_OK
 */

#include <string.h>

#include "program.h"

static char complaint[sizeof((meditopia_error *)0)->message];

static void enqueue_users(meditopia_client *client, unsigned from, unsigned to) {
  static char json[1 << 15];
  meditopia_error error;
  size_t length = 0;
  CHECK(from <= to && to - from < 100);
  for (unsigned number = from; number <= to; number++)
    length += (size_t)snprintf(json + length, sizeof json - length,
                               "%c{\"token\":\"token\",\"partner_user_id\":\"u-%u\",\"event\":\"video\","
                               "\"event_value\":\"%u\",\"received_at\":\"2024-08-06 15:04:05\"}",
                               number == from ? '[' : ',', number, number);
  length += (size_t)snprintf(json + length, sizeof json - length, "]");
  CHECK(length < sizeof json);
  succeed("enqueue", meditopia_enqueue_json(client, json, length, NULL, &error), &error);
}

static void print_stats(meditopia_client *client) {
  meditopia_error error;
  meditopia_text *text = NULL;
  succeed("stats", meditopia_stats_text(client, MEDITOPIA_FORMAT_JSON, &text, &error), &error);
  printf("%s\n", meditopia_text_data(text));
  meditopia_text_free(text);
}

static void print_log(meditopia_client *client) {
  meditopia_error error;
  meditopia_log_record record = {.struct_size = sizeof record};
  meditopia_status status = meditopia_log_next(client, &record, &error);
  succeed("log", status, &error);
  if (status == MEDITOPIA_DONE)
    printf("none\n");
  else
    printf("%d %" PRId64 " %s\n", (int)record.level, record.time_ms, record.message);
}

static void print_rows(meditopia_cursor *rows) {
  meditopia_error error;
  meditopia_row row = {.struct_size = sizeof row};
  meditopia_status status;
  const char *before = "";
  printf("[");
  while ((status = meditopia_cursor_next(rows, &row, &error)) == MEDITOPIA_OK) {
    printf("%s{\"id\":%" PRId64 ",\"reason\":%d,\"http_status\":%d,\"attempts\":%u,\"first_ms\":%" PRId64
           ",\"last_ms\":%" PRId64 ",\"api_code\":\"%s\",\"event\":%.*s}",
           before, row.id, (int)row.reason, (int)row.http_status, (unsigned)row.attempts, row.first_ms, row.last_ms,
           row.api_code, (int)row.event_json_len, row.event_json);
    before = ",";
  }
  CHECK(status == MEDITOPIA_DONE);
  printf("]\n");
  meditopia_cursor_free(rows);
}

static int look(meditopia_client *client, const char *line) {
  meditopia_error error;
  meditopia_cursor *rows = NULL;
  if (strcmp(line, "complaint\n") == 0) {
    printf("%s\n", complaint);
  } else if (strcmp(line, "stats\n") == 0) {
    print_stats(client);
  } else if (strcmp(line, "log\n") == 0) {
    print_log(client);
  } else if (strcmp(line, "in_doubt\n") == 0) {
    succeed("in_doubt", meditopia_in_doubt_open(client, 0, &rows, &error), &error);
    print_rows(rows);
  } else if (strcmp(line, "rejected\n") == 0) {
    succeed("rejected", meditopia_rejected_open(client, NULL, NULL, 0, &rows, &error), &error);
    print_rows(rows);
  } else {
    return 0;
  }
  return 1;
}

static int operate(meditopia_client *client, const char *line) {
  meditopia_error error;
  meditopia_status status;
  char token[128];
  if (strcmp(line, "hold\n") == 0)
    status = meditopia_hold(client, &error);
  else if (strcmp(line, "resume\n") == 0)
    status = meditopia_resume(client, &error);
  else if (sscanf(line, "token %127s", token) == 1)
    status = meditopia_set_bearer_token(client, token, &error);
  else
    return 0;
  printf("%s\n", meditopia_status_name(status));
  return 1;
}

static void carry_out(meditopia_client *client, const char *line) {
  meditopia_report report = {.struct_size = sizeof report};
  meditopia_status status;
  meditopia_error error;
  char user[64], number[32];
  unsigned timeout_ms, from, to;
  if (look(client, line) || operate(client, line)) return;
  if (sscanf(line, "flush %u", &timeout_ms) == 1) {
    status = meditopia_flush(client, timeout_ms, &report, &error);
    if (status < 0) strcpy(complaint, error.message);
    printf("%s %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", meditopia_status_name(status), report.delivered,
           report.expired, report.pending);
    return;
  }
  if (sscanf(line, "users %u %u", &from, &to) == 2) {
    enqueue_users(client, from, to);
  } else if (sscanf(line, "now %63s %31s", user, number) == 2) {
    succeed("enqueue", meditopia_enqueue(client, "token", user, "video", number, NULL, &error), &error);
  } else {
    CHECK(sscanf(line, "enqueue %63s %31s", user, number) == 2);
    enqueue(client, user, atol(number));
  }
  printf("ok\n");
}

int main(int argc, char **argv) {
  char line[256];
  meditopia_client *client;
  CHECK(argc == 2);
  client = open_client(argv[1]);
  printf("ready\n");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin) != NULL) {
    carry_out(client, line);
    fflush(stdout);
  }
  close_client(client);
  return 0;
}
