/* What an append to a mapped segment would cost, and what it does to its host when the file changes.
 *
 *   mapped_appender FILE RECORDS            appends to allocated and mapped blocks; prints ns_per_record
 *   mapped_appender FILE RECORDS truncate   the same while somebody else truncates the file; a child does
 *   mapped_appender FILE RECORDS sparse     it, and its end is told: {"signal": ...}, 0 for none. sparse:
 *                                           the blocks are not allocated, for a disk that gets full
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

enum { RECORD = 184 };

static void failed(const char *what) {
  perror(what);
  exit(1);
}

static char *map(const char *path, size_t bytes, int allocated) {
  int file = open(path, O_CREAT | O_TRUNC | O_RDWR, 0600);
  char *at;

  if (file < 0)
    failed(path);
  if (allocated ? posix_fallocate(file, 0, (off_t)bytes) != 0 : ftruncate(file, (off_t)bytes) != 0)
    failed("allocate");
  at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (at == MAP_FAILED)
    failed("mmap");
  close(file);
  return at;
}

static double append(char *at, long records, const char *truncated) {
  char record[RECORD];
  int64_t began = now_ns();

  memset(record, 'x', sizeof record);
  for (long i = 0; i < records; i++) {
    if (truncated && i == records / 2 && truncate(truncated, 0) < 0)
      failed("truncate");
    memcpy(at + i * RECORD, record, sizeof record);
  }
  return (double)(now_ns() - began) / (double)records;
}

int main(int argc, char **argv) {
  int truncates = argc > 3 && strcmp(argv[3], "truncate") == 0, status;
  size_t bytes;
  long records;
  pid_t child;

  if (argc < 3)
    return 2;
  records = atol(argv[2]);
  bytes = (size_t)records * RECORD;
  if (argc == 3) {
    char *at = map(argv[1], bytes, 1);
    append(at, records, NULL); /* the second time its pages are there, as in a segment that is made ahead */
    printf("{\"ns_per_record\": %.1f}\n", append(at, records, NULL));
    return 0;
  }
  child = fork();
  if (child == 0) {
    append(map(argv[1], bytes, truncates), records, truncates ? argv[1] : NULL);
    _exit(0);
  }
  if (child < 0 || waitpid(child, &status, 0) < 0)
    failed("child");
  printf("{\"signal\": %d}\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
  return 0;
}
