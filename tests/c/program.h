/* What the test programs share: a client from a configuration file, and an end with words where
 * something goes wrong. A program that succeeds prints only what its test asks for. */

#ifndef TESTS_C_PROGRAM_H
#define TESTS_C_PROGRAM_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <meditopia.h>

#define CHECK(condition) \
  do { \
    if (!(condition)) { \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      _Exit(1); \
    } \
  } while (0)

/* Ends the program unless `status` is a success. */
static inline void succeed(const char *what, meditopia_status status, const meditopia_error *error) {
  if (status >= 0) return;
  fprintf(stderr, "%s: %s: %s\n", what, meditopia_status_name(status), error->message);
  _Exit(1);
}

/* With `value` for `key`, whatever the file says. */
static inline meditopia_client *open_client_as(const char *config_file, const char *key, const char *value) {
  meditopia_error error;
  meditopia_client *client = NULL;
  meditopia_config *config = meditopia_config_new();
  succeed("load", meditopia_config_load_file(config, config_file, &error), &error);
  if (key != NULL) succeed("set", meditopia_config_set(config, key, value, &error), &error);
  succeed("open", meditopia_client_open(config, &client, &error), &error);
  meditopia_config_free(config);
  return client;
}

static inline meditopia_client *open_client(const char *config_file) {
  return open_client_as(config_file, NULL, NULL);
}

/* One event of `user`; `event_value` tells its number. */
static inline void enqueue(meditopia_client *client, const char *user, long number) {
  meditopia_error error;
  char value[32];
  snprintf(value, sizeof value, "%ld", number);
  succeed("enqueue", meditopia_enqueue(client, "token", user, "video", value, "2024-08-06 15:04:05", &error), &error);
}

static inline meditopia_report flush(meditopia_client *client, uint32_t timeout_ms) {
  meditopia_error error;
  meditopia_report report = {.struct_size = sizeof report};
  succeed("flush", meditopia_flush(client, timeout_ms, &report, &error), &error);
  return report;
}

static inline void print_report(const meditopia_report *report) {
  printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", report->delivered, report->rejected,
         report->expired, report->pending, report->in_doubt);
}

static inline void close_client(meditopia_client *client) {
  meditopia_error error;
  succeed("close", meditopia_client_close(client, 30000, NULL, &error), &error);
  meditopia_client_free(client);
}

#endif
