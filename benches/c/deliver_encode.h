/* An event as JSON, as the hand-written deliverers make it: escaped, with the time of now, no call of a
 * printing function. */

#ifndef DELIVER_ENCODE_H
#define DELIVER_ENCODE_H

#include <stdbool.h>
#include <stdio.h>

#include "deliver_event.h"

static inline char *copy(char *to, const char *text, size_t bytes) {
  memcpy(to, text, bytes);
  return to + bytes;
}

#define COPY(to, literal) copy(to, literal, sizeof(literal) - 1)

static inline char *copy_escaped(char *to, const char *text) {
  static const char hex[] = "0123456789abcdef";
  for (; *text != '\0'; text++) {
    unsigned char byte = (unsigned char)*text;
    if (byte == '"' || byte == '\\') {
      *to++ = '\\';
      *to++ = *text;
    } else if (byte < 0x20) {
      to = COPY(to, "\\u00");
      *to++ = hex[byte >> 4];
      *to++ = hex[byte & 15];
    } else {
      *to++ = *text;
    }
  }
  return to;
}

/* "YYYY-MM-DD HH:MM:SS" of now; spelled anew once a second. */
static inline const char *spelled_now(void) {
  static time_t spelled_at;
  static char text[20];
  time_t now = time(NULL);
  if (now != spelled_at) {
    struct tm parts;
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", gmtime_r(&now, &parts));
    spelled_at = now;
  }
  return text;
}

/* Writes at most EVENT_BYTES_MAX bytes for the fields above; returns how many. */
static inline size_t encode(char *out, const struct event *event) {
  char *to = COPY(out, "{\"token\":\"");
  to = copy_escaped(to, event->token);
  to = COPY(to, "\",\"partner_user_id\":\"");
  to = copy_escaped(to, event->user);
  to = COPY(to, "\",\"event\":\"" EVENT_KIND "\",\"event_value\":\"");
  to = copy_escaped(to, EVENT_VALUE);
  to = COPY(to, "\",\"received_at\":\"");
  to = copy_escaped(to, spelled_now());
  to = COPY(to, "\"}");
  return (size_t)(to - out);
}

/* The body of a request while it grows: {"events":[ ... ]}. */
struct body {
  char bytes[BATCH * (EVENT_BYTES_MAX + 1) + 32];
  size_t length;
  int events;
};

static inline void begin_body(struct body *body) {
  body->length = (size_t)(COPY(body->bytes, "{\"events\":[") - body->bytes);
  body->events = 0;
}

static inline void add_to_body(struct body *body, const char *json, size_t bytes) {
  char *to = body->bytes + body->length;
  if (body->events++ > 0)
    *to++ = ',';
  body->length = (size_t)(copy(to, json, bytes) - body->bytes);
}

static inline void end_body(struct body *body) {
  body->length = (size_t)(COPY(body->bytes + body->length, "]}") - body->bytes);
}

#endif
