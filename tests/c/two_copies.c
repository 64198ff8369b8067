/* A process with two copies of the library, as a package's own beside the system's.
 *
 *   two_copies CONFIG.toml LIBRARY LIBRARY
 *
 * Opens a client of the same spool with each, enqueues by both in turn, an event of "u-0" or "u-1" each, flushes both,
 * and closes both. Prints the log records of both that say "copies". */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <meditopia.h>

enum { COPIES = 2, EVENTS = 50 };

#define FIND(library, name) *(void **)&name = dlsym(library, "meditopia_" #name)

typedef struct {
  meditopia_client *client;
  meditopia_status (*enqueue)(meditopia_client *, const char *, const char *, const char *, const char *, const char *,
                              meditopia_error *);
  meditopia_status (*flush)(meditopia_client *, uint32_t, meditopia_report *, meditopia_error *);
  meditopia_status (*client_close)(meditopia_client *, uint32_t, meditopia_report *, meditopia_error *);
  meditopia_status (*log_next)(meditopia_client *, meditopia_log_record *, meditopia_error *);
} copy;

static meditopia_error error;

static void must(const char *what, int is_right) {
  if (is_right) return;
  fprintf(stderr, "%s: %s\n", what, error.message);
  exit(1);
}

static copy load(const char *path, const char *config_file) {
  copy loaded;
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  meditopia_config *(*config_new)(void);
  meditopia_status (*config_load_file)(meditopia_config *, const char *, meditopia_error *);
  meditopia_status (*client_open)(const meditopia_config *, meditopia_client **, meditopia_error *);
  meditopia_config *config;
  must("dlopen", library != NULL);
  FIND(library, config_new);
  FIND(library, config_load_file);
  FIND(library, client_open);
  must("dlsym", config_new != NULL && config_load_file != NULL && client_open != NULL);
  *(void **)&loaded.enqueue = dlsym(library, "meditopia_enqueue");
  *(void **)&loaded.flush = dlsym(library, "meditopia_flush");
  *(void **)&loaded.client_close = dlsym(library, "meditopia_client_close");
  *(void **)&loaded.log_next = dlsym(library, "meditopia_log_next");
  config = config_new();
  must("load", config_load_file(config, config_file, &error) >= 0);
  must("open", client_open(config, &loaded.client, &error) >= 0);
  return loaded;
}

int main(int argc, char **argv) {
  copy copies[COPIES];
  int number, i;
  must("arguments", argc == 2 + COPIES);
  for (i = 0; i < COPIES; i++) copies[i] = load(argv[2 + i], argv[1]);
  must("two copies", copies[0].enqueue != copies[1].enqueue);
  for (number = 0; number < EVENTS; number++) {
    for (i = 0; i < COPIES; i++) {
      char user[16], value[16];
      snprintf(user, sizeof user, "u-%d", i);
      snprintf(value, sizeof value, "%d", number);
      must("enqueue", copies[i].enqueue(copies[i].client, "t", user, "video", value, "2024-08-06 15:04:05", &error) >= 0);
    }
  }
  for (i = 0; i < COPIES; i++) must("flush", copies[i].flush(copies[i].client, 30000, NULL, &error) >= 0);
  for (i = 0; i < COPIES; i++) must("close", copies[i].client_close(copies[i].client, 30000, NULL, &error) >= 0);
  for (i = 0; i < COPIES; i++) {
    meditopia_log_record record;
    memset(&record, 0, sizeof record);
    record.struct_size = sizeof record;
    while (copies[i].log_next(copies[i].client, &record, NULL) == MEDITOPIA_OK)
      if (strstr(record.message, "copies") != NULL) printf("%d: %s\n", i, record.message);
  }
  return 0;
}
