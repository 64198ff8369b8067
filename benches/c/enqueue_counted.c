/* One way to enqueue, a given number of times, for a tool that counts instructions.
 *
 *   enqueue_counted SPOOL KIND CALLS
 *
 * KIND: given (the caller's time), now (the library's), sized (strings with lengths), escaped (a value
 * with quotes and line breaks), long (a value of 1,000 bytes), json (an array of 1,000 events a call). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <meditopia.h>

enum { BATCH = 1000 };

static const char TOKEN[] = "token-000000000000000000004711";
static const char USER[] = "user-004711";
static const char TIME[] = "2024-08-06 15:04:05";

static meditopia_error error;

static char *array_of_events(void) {
  char *json = malloc(BATCH * 200), *end = json;
  int i;

  for (i = 0; i < BATCH; i++)
    end += sprintf(end, "%c{\"token\":\"%s\",\"partner_user_id\":\"%s\",\"event\":\"video\",\"event_value\":\"morning calm\",\"received_at\":\"%s\"}",
                   i ? ',' : '[', TOKEN, USER, TIME);
  strcpy(end, "]");
  return json;
}

static int is(const char *kind, const char *name) { return strcmp(kind, name) == 0; }

int main(int argc, char **argv) {
  meditopia_config *config = meditopia_config_new();
  meditopia_client *client = NULL;
  char long_value[1001], *json;
  const char *kind;
  int calls, call;

  if (argc != 4)
    return 2;
  kind = argv[2];
  calls = atoi(argv[3]);
  json = array_of_events();
  memset(long_value, 'x', sizeof long_value - 1);
  long_value[sizeof long_value - 1] = '\0';
  if (meditopia_config_set(config, "spool", argv[1], &error) < 0 || meditopia_config_set(config, "role", "enqueue", &error) < 0
      || meditopia_config_set(config, "endpoint", "http://127.0.0.1:9/events", &error) < 0
      || meditopia_client_open(config, &client, &error) < 0)
    goto failed;
  for (call = 0; call < calls; call++) {
    meditopia_status status;

    if (is(kind, "given"))
      status = meditopia_enqueue(client, TOKEN, USER, "video", "morning calm", TIME, &error);
    else if (is(kind, "now"))
      status = meditopia_enqueue(client, TOKEN, USER, "video", "morning calm", NULL, &error);
    else if (is(kind, "escaped"))
      status = meditopia_enqueue(client, TOKEN, USER, "video", "\"calm\"\n\"morning\"\n", TIME, &error);
    else if (is(kind, "long"))
      status = meditopia_enqueue(client, TOKEN, USER, "video", long_value, TIME, &error);
    else if (is(kind, "sized"))
      status = meditopia_enqueue_n(client, TOKEN, sizeof TOKEN - 1, USER, sizeof USER - 1, "video", 5, "morning calm", 12,
                                   TIME, sizeof TIME - 1, &error);
    else if (is(kind, "json"))
      status = meditopia_enqueue_json(client, json, strlen(json), NULL, &error);
    else
      return 2;
    if (status < 0)
      goto failed;
  }
  meditopia_client_free(client);
  meditopia_config_free(config);
  free(json);
  return 0;
failed:
  fprintf(stderr, "%s\n", error.message);
  return 1;
}
