/* The events that every contender enqueues: the same bytes for all, so that only the way differs.
 *
 * The library's record of one event is RECORD_BYTES long: 32 bytes of header, 4 of length, and the
 * event as JSON. A bare appender writes as many; a queue in memory takes the JSON alone. There are a
 * few dozen different ones, which stay in the first-level cache as an event that a host has just
 * made would.
 */

#ifndef EVENT_H
#define EVENT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS = 64, RECORD_HEADER_BYTES = 36, FRAGMENT_BYTES = 148, RECORD_BYTES = 184 };

#define EVENT_KIND "video"
#define EVENT_VALUE "morning calm"

static char tokens[EVENTS][23];
static char users[EVENTS][13];
static char records[EVENTS][RECORD_BYTES + 1];

/* The JSON of an event as it goes to the API. */
static inline const char *fragment(long event) { return records[event % EVENTS] + RECORD_HEADER_BYTES; }

static void make_events(void) {
  for (int i = 0; i < EVENTS; i++) {
    snprintf(tokens[i], sizeof tokens[i], "user-token-%011d", i * 7919);
    snprintf(users[i], sizeof users[i], "user-%07d", i * 104729 % 10000000);
    memset(records[i], 'r', RECORD_HEADER_BYTES);
    int length = snprintf(records[i] + RECORD_HEADER_BYTES, FRAGMENT_BYTES + 1,
                          "{\"token\":\"%s\",\"partner_user_id\":\"%s\",\"event\":\"%s\",\"event_value\":\"%s\","
                          "\"received_at\":\"2024-08-06 15:04:05\"}",
                          tokens[i], users[i], EVENT_KIND, EVENT_VALUE);
    if (length != FRAGMENT_BYTES) {
      fprintf(stderr, "an event has %d bytes instead of %d\n", length, FRAGMENT_BYTES);
      exit(1);
    }
  }
}

#endif
