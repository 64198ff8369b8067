/* This library: events go into the spool DIRECTORY, and nobody sends. The threads of a process share
 * a client. With --per-call above 1 as many go through one meditopia_enqueue_json.
 *
 *   enqueue_meditopia DIRECTORY [--durability process|power] [--per-call N] ...      see contest.h
 */

#include "contest.h"

#include <meditopia.h>

static char *batch;
static size_t batch_bytes;

static void make_batch(int events) {
  FILE *text = open_memstream(&batch, &batch_bytes);
  for (int i = 0; i < events; i++)
    fprintf(text,
            "%s{\"token\":\"%s\",\"partner_user_id\":\"%s\",\"event\":\"" EVENT_KIND
            "\",\"event_value\":\"" EVENT_VALUE "\"}",
            i == 0 ? "[" : ",", tokens[i % EVENTS], users[i % EVENTS]);
  fputs("]", text);
  fclose(text);
}

static void *open_client(const struct options *asked) {
  meditopia_error error;
  meditopia_client *client = NULL;
  meditopia_config *config = meditopia_config_new();
  if (meditopia_config_set(config, "spool", asked->directory, &error) < 0 ||
      meditopia_config_set(config, "role", "enqueue", &error) < 0 ||
      meditopia_config_set(config, "endpoint", asked->endpoint, &error) < 0 ||
      meditopia_config_set(config, "durability", asked->durability, &error) < 0 ||
      meditopia_client_open(config, &client, &error) < 0)
    fail("open", error.message);
  meditopia_config_free(config);
  make_batch(asked->per_call);
  return client;
}

static void *share_client(void *client, int worker) {
  (void)worker;
  return client;
}

static void enqueue(void *client, long event) {
  meditopia_error error;
  long i = event % EVENTS;
  if (meditopia_enqueue(client, tokens[i], users[i], EVENT_KIND, EVENT_VALUE, NULL, &error) < 0)
    fail("enqueue", error.message);
}

static void enqueue_batch(void *client, long event) {
  meditopia_error error;
  (void)event;
  if (meditopia_enqueue_json(client, batch, batch_bytes, NULL, &error) < 0)
    fail("enqueue_json", error.message);
}

int main(int argc, char **argv) {
  static const struct contender one_by_one = {.open = open_client, .seat = share_client, .enqueue = enqueue};
  static const struct contender batches = {.open = open_client, .seat = share_client, .enqueue = enqueue_batch};
  bool batched = false;
  for (int i = 1; i < argc; i++)
    batched = batched || strcmp(argv[i], "--per-call") == 0;
  return contest(argc, argv, batched ? &batches : &one_by_one);
}
