/* Opens a client of this library for the deliverers, and what they say of themselves at the end. */

#ifndef DELIVER_OPEN_H
#define DELIVER_OPEN_H

#include <meditopia.h>

#include "clock.h"
#include "deliver_event.h"

struct where {
  const char *spool, *url, *role, *lanes, *ca_file, *ttl;
};

static inline meditopia_client *open_client(const struct where *where) {
  meditopia_error error;
  meditopia_client *client = NULL;
  meditopia_config *config = meditopia_config_new();
  if (meditopia_config_set(config, "spool", where->spool, &error) < 0 ||
      meditopia_config_set(config, "endpoint", where->url, &error) < 0 ||
      meditopia_config_set(config, "role", where->role, &error) < 0 ||
      meditopia_config_set(config, "bearer_token", "bench", &error) < 0 ||
      (where->lanes != NULL && meditopia_config_set(config, "lanes", where->lanes, &error) < 0) ||
      (where->ttl != NULL && meditopia_config_set(config, "event_ttl_s", where->ttl, &error) < 0) ||
      (where->ca_file != NULL && meditopia_config_set(config, "ca_file", where->ca_file, &error) < 0) ||
      meditopia_client_open(config, &client, &error) < 0)
    fail("open", error.message);
  meditopia_config_free(config);
  return client;
}

static inline void enqueue(meditopia_client *client, long number) {
  meditopia_error error;
  struct event event;
  make_event(&event, number);
  if (meditopia_enqueue(client, event.token, event.user, EVENT_KIND, EVENT_VALUE, NULL, &error) < 0)
    fail("enqueue", error.message);
}

static inline void flush(meditopia_client *client) {
  meditopia_error error;
  if (meditopia_flush(client, UINT32_MAX, NULL, &error) < 0)
    fail("flush", error.message);
}

static inline void ask_for_stats(meditopia_client *client, long pending) {
  meditopia_error error;
  meditopia_stats stats = {.struct_size = sizeof stats};
  if (meditopia_get_stats(client, &stats, &error) < 0)
    fail("stats", error.message);
  if (stats.pending != (uint64_t)pending)
    fail("stats", "another number of pending events");
}

static inline void close_client(meditopia_client *client) {
  meditopia_error error;
  if (meditopia_client_close(client, UINT32_MAX, NULL, &error) < 0)
    fail("close", error.message);
  meditopia_client_free(client);
}

/* A figure of this process in /proc/self: VmHWM of `status` is the most KiB of memory that it ever had (what wait4
 * says of a child includes what it was before exec), write_bytes of `io` what it has the kernel write to disks. */
static inline long said_by_kernel(const char *file, const char *name) {
  char path[64], line[256];
  long value = -1;
  snprintf(path, sizeof path, "/proc/self/%s", file);
  FILE *lines = fopen(path, "r");
  while (lines != NULL && value < 0 && fgets(line, sizeof line, lines) != NULL)
    if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
      value = atol(line + strlen(name) + 1);
  if (lines != NULL)
    fclose(lines);
  return value;
}

#endif
