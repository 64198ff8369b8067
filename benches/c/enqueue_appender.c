/* The least that a durable queue could do: append a record to an open file. Each worker has a file of
 * its own. With --fdatasync each record is on the disk before the next one.
 *
 *   enqueue_appender DIRECTORY [--fdatasync] ...      see contest.h
 */

#include "contest.h"

#include <fcntl.h>

static void *open_nothing(const struct options *asked) {
  (void)asked;
  return NULL;
}

static void *open_file(void *nothing, int worker) {
  char path[4096];
  (void)nothing;
  snprintf(path, sizeof path, "%s/%d", options.directory, worker);
  int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0)
    fail("open", path);
  return (void *)(intptr_t)file;
}

static void append(void *seat, long event) {
  int file = (int)(intptr_t)seat;
  if (write(file, records[event % EVENTS], RECORD_BYTES) != RECORD_BYTES)
    fail("write", "not whole");
  if (options.fdatasync && fdatasync(file) < 0)
    fail("fdatasync", "failed");
}

int main(int argc, char **argv) {
  static const struct contender appender = {.open = open_nothing, .seat = open_file, .enqueue = append};
  return contest(argc, argv, &appender);
}
