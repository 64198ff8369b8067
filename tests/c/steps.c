/* A host that does the steps of its command line, one after the other, under the eyes of a tracer.
 *
 *   steps CONFIG.toml STEP...
 *     open | flush | close
 *     enqueue:USER:FROM:COUNT      one by one
 *     batch:USER:FROM:COUNT:BYTES  in one record, each with a token of so many bytes
 *     child:USER:FROM:COUNT        one by one, by a child that then dies
 *     begin | end                  the bounds of what the test is about
 *
 * It tells bounds and outcomes by a system call that changes nothing, getpriority of a number that no
 * process has: there is no moment between an event's acknowledgement and its being told. */

#define _DEFAULT_SOURCE
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"

enum { MARK = 0x4d450000, BEGIN = 1, END, ACKNOWLEDGED, FAILED };

static const char *config;
static meditopia_client *client;

static void tell(int what, long number, long more) {
  getpriority((__priority_which_t)(MARK + what), (id_t)(number | more << 20));
}

static void enqueue_each(const char *user, long from, long count) {
  meditopia_error error;
  meditopia_status status;
  char value[32];
  long number;
  for (number = from; number < from + count; number++) {
    snprintf(value, sizeof value, "%ld", number);
    status = meditopia_enqueue(client, "token", user, "video", value, "2024-08-06 15:04:05", &error);
    tell(status < 0 ? FAILED : ACKNOWLEDGED, number, status < 0 ? -status : 1);
  }
}

static void enqueue_batch(const char *user, long from, long count, long bytes) {
  meditopia_error error;
  size_t accepted, length = 0, room = (size_t)(count * (bytes + 256));
  char *json = malloc(room), *token = malloc((size_t)bytes + 1);
  long number;
  CHECK(json != NULL && token != NULL);
  memset(token, 't', (size_t)bytes);
  token[bytes] = 0;
  for (number = from; number < from + count; number++)
    length += (size_t)snprintf(json + length, room - length,
                               "%c{\"token\":\"%s\",\"partner_user_id\":\"%s\",\"event\":\"video\",\"event_value\":\"%ld\","
                               "\"received_at\":\"2024-08-06 15:04:05\"}",
                               number == from ? '[' : ',', token, user, number);
  CHECK(length + 2 < room);
  strcpy(json + length, "]");
  succeed("batch", meditopia_enqueue_json(client, json, length + 1, &accepted, &error), &error);
  tell(ACKNOWLEDGED, from, count);
  free(json);
  free(token);
}

static void in_child(const char *user, long from, long count) {
  int status;
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    client = open_client(config);
    for (; count > 0; count--) enqueue(client, user, from++);
    _exit(0);
  }
  CHECK(waitpid(child, &status, 0) == child && status == 0);
}

int main(int argc, char **argv) {
  char user[128];
  long from, count, bytes;
  int i;

  CHECK(argc >= 2);
  config = argv[1];
  for (i = 2; i < argc; i++) {
    if (strcmp(argv[i], "open") == 0)
      client = open_client(config);
    else if (strcmp(argv[i], "flush") == 0)
      flush(client, 30000);
    else if (strcmp(argv[i], "close") == 0)
      close_client(client);
    else if (strcmp(argv[i], "begin") == 0)
      tell(BEGIN, 0, 0);
    else if (strcmp(argv[i], "end") == 0)
      tell(END, 0, 0);
    else if (sscanf(argv[i], "enqueue:%127[^:]:%ld:%ld", user, &from, &count) == 3)
      enqueue_each(user, from, count);
    else if (sscanf(argv[i], "batch:%127[^:]:%ld:%ld:%ld", user, &from, &count, &bytes) == 4)
      enqueue_batch(user, from, count, bytes);
    else if (sscanf(argv[i], "child:%127[^:]:%ld:%ld", user, &from, &count) == 3)
      in_child(user, from, count);
    else
      CHECK(!"a step");
  }
  return 0;
}
