/* The events that every deliverer sends: made one after the other, of 10,000 users, so that lanes fill evenly. */

#ifndef DELIVER_EVENT_H
#define DELIVER_EVENT_H

#include <stdint.h>
#include <string.h>
#include <time.h>

enum { USERS = 10000, USER_DIGITS = 7, EVENT_BYTES_MAX = 512, BATCH = 100 };

#define EVENT_KIND "video"
#define EVENT_VALUE "morning calm"

struct event {
  char token[24];
  char user[13];
};

static inline void write_digits(char *end, uint32_t number) {
  for (int i = 1; i <= USER_DIGITS; i++, number /= 10)
    end[-i] = (char)('0' + number % 10);
}

static inline void make_event(struct event *event, long number) {
  static const struct event blank = {"user-token-00000000000", "user-0000000"};
  uint32_t user = (uint32_t)(number * 7919 % USERS);
  *event = blank;
  write_digits(event->token + strlen(blank.token), user);
  write_digits(event->user + strlen(blank.user), user);
}

#endif
