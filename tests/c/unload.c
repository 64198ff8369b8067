/* A plugin host: loads the library, uses it and closes it again, over and over.
 *
 *   unload CONFIG.toml LIBRARY closed|hurried|abandoned|visited
 *
 * For each line of its input, a number, it does that so many times and writes "done". Each time it
 * enqueues one event of user "plugin", numbered on. Before the dlclose the client is
 *
 *   closed     flushed, closed and freed
 *   hurried    closed and freed without waiting for its thread
 *   abandoned  left as it is
 *   visited    closed and freed, by a thread that has ended before the dlclose: it holds on to nothing */

#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "program.h"

static void *symbol(void *library, const char *name) {
  void *address = dlsym(library, name);
  if (address == NULL) fprintf(stderr, "%s\n", dlerror());
  CHECK(address != NULL);
  return address;
}

static const char *config_file, *way;
static void *library;
static long number;

static void *use(void *unused) {
  meditopia_config *(*config_new)(void);
  meditopia_status (*load_file)(meditopia_config *, const char *, meditopia_error *);
  void (*config_free)(meditopia_config *);
  meditopia_status (*client_open)(const meditopia_config *, meditopia_client **, meditopia_error *);
  meditopia_status (*client_close)(meditopia_client *, uint32_t, meditopia_report *, meditopia_error *);
  void (*client_free)(meditopia_client *);
  meditopia_status (*enqueue_event)(meditopia_client *, const char *, const char *, const char *, const char *,
                                    const char *, meditopia_error *);
  const char *(*status_name)(meditopia_status);
  char value[32];
  meditopia_error error;
  meditopia_client *client = NULL;
  meditopia_config *config;
  meditopia_status status;

  *(void **)&config_new = symbol(library, "meditopia_config_new");
  *(void **)&load_file = symbol(library, "meditopia_config_load_file");
  *(void **)&config_free = symbol(library, "meditopia_config_free");
  *(void **)&client_open = symbol(library, "meditopia_client_open");
  *(void **)&client_close = symbol(library, "meditopia_client_close");
  *(void **)&client_free = symbol(library, "meditopia_client_free");
  *(void **)&enqueue_event = symbol(library, "meditopia_enqueue");
  *(void **)&status_name = symbol(library, "meditopia_status_name");

  config = config_new();
  status = load_file(config, config_file, &error);
  if (status >= 0) status = client_open(config, &client, &error);
  snprintf(value, sizeof value, "%ld", number);
  if (status >= 0) status = enqueue_event(client, "token", "plugin", "video", value, "2024-08-06 15:04:05", &error);
  config_free(config);
  if (status >= 0 && (strcmp(way, "closed") == 0 || strcmp(way, "visited") == 0))
    status = client_close(client, 30000, NULL, &error);
  if (status >= 0 && strcmp(way, "hurried") == 0) {
    status = client_close(client, 0, NULL, &error);
    if (status == MEDITOPIA_ERROR_TIMEOUT) status = MEDITOPIA_OK;
  }
  if (strcmp(way, "abandoned") != 0) client_free(client);
  if (status < 0) fprintf(stderr, "%s: %s\n", status_name(status), error.message);
  CHECK(status >= 0);
  return unused;
}

static void load_use_and_unload(const char *path) {
  pthread_t visitor;
  library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) fprintf(stderr, "%s\n", dlerror());
  CHECK(library != NULL);
  if (strcmp(way, "visited") == 0) {
    CHECK(pthread_create(&visitor, NULL, use, NULL) == 0);
    CHECK(pthread_join(visitor, NULL) == 0);
  } else {
    use(NULL);
  }
  CHECK(dlclose(library) == 0);
}

int main(int argc, char **argv) {
  char line[32];
  long left;

  CHECK(argc == 4);
  config_file = argv[1];
  way = argv[3];
  while (fgets(line, sizeof line, stdin) != NULL) {
    for (left = atol(line); left > 0; left--, number++) load_use_and_unload(argv[2]);
    CHECK(write(STDOUT_FILENO, "done\n", 5) == 5);
  }
  return 0;
}
