// The library by meditopia.hpp: what enqueue_meditopia.c does, with exceptions for errors.

#include "enqueue_hpp.h"

#include <meditopia.hpp>

#include <cstdio>
#include <cstdlib>

void* hpp_open(const char* directory, const char* endpoint) try {
  return new meditopia::client{meditopia::config{{"spool", directory}, {"role", "enqueue"}, {"endpoint", endpoint}}};
} catch (const meditopia::error& error) {
  std::fprintf(stderr, "open: %s\n", error.what());
  std::exit(1);
}

void hpp_enqueue(void* client, const char* token, const char* user, const char* event, const char* value) try {
  static_cast<meditopia::client*>(client)->enqueue(token, user, event, value);
} catch (const meditopia::error& error) {
  std::fprintf(stderr, "enqueue: %s\n", error.what());
  std::exit(1);
}
