/* The contest for meditopia.hpp: the threads of a process share a client, which is in enqueue_hpp.cpp.
 *
 *   enqueue_hpp DIRECTORY ...      see contest.h
 */

#include "contest.h"
#include "enqueue_hpp.h"

static void *open_client(const struct options *asked) { return hpp_open(asked->directory, asked->endpoint); }

static void *share_client(void *client, int worker) {
  (void)worker;
  return client;
}

static void enqueue(void *client, long event) {
  long i = event % EVENTS;
  hpp_enqueue(client, tokens[i], users[i], EVENT_KIND, EVENT_VALUE);
}

int main(int argc, char **argv) {
  static const struct contender contender = {.open = open_client, .seat = share_client, .enqueue = enqueue};
  return contest(argc, argv, &contender);
}
