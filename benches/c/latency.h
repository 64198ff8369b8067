/* How long each single call took, and what held up those that took longer than a millisecond.
 *
 * A long call is one of three kinds. *Blocked*: the thread gave its CPU away inside the call, to wait
 * for a disk or a lock. *Preempted*: it wanted to go on, and the scheduler ran somebody else. *Running*:
 * neither, so it computed all the time, or the host of a virtual machine took the CPU away. The kernel
 * counts the first two for each thread; they are read before every call, outside of what is timed.
 */

#ifndef LATENCY_H
#define LATENCY_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <math.h>

#include "clock.h"

#define STALL_NS 1000000

struct latencies {
  uint32_t *ns;
  long count;
  long blocked, preempted, running;
  struct rusage before;
};

static struct latencies latencies_of(long calls) {
  struct latencies all = {.ns = malloc((size_t)calls * sizeof *all.ns)};
  if (all.ns == NULL)
    fail("latencies", "no memory");
  memset(all.ns, 1, (size_t)calls * sizeof *all.ns); /* no page of it is touched first while we measure */
  return all;
}

static inline int64_t call_begins(struct latencies *all) {
  getrusage(RUSAGE_THREAD, &all->before);
  return now_ns();
}

static inline void call_ended(struct latencies *all, int64_t began_ns) {
  int64_t took_ns = now_ns() - began_ns;
  all->ns[all->count++] = took_ns < UINT32_MAX ? (uint32_t)took_ns : UINT32_MAX;
  if (took_ns > STALL_NS) {
    struct rusage after;
    getrusage(RUSAGE_THREAD, &after);
    if (after.ru_nvcsw > all->before.ru_nvcsw)
      all->blocked++;
    else if (after.ru_nivcsw > all->before.ru_nivcsw)
      all->preempted++;
    else
      all->running++;
  }
}

static int by_size(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

/* The least value that at most one call in `one_in` exceeded. */
static uint32_t exceeded_once_in(const struct latencies *sorted, double one_in) {
  long at = (long)((double)sorted->count * (1 - 1 / one_in));
  return sorted->ns[at < sorted->count ? at : sorted->count - 1];
}

/* The members of a JSON object; `curve` has ten points for each power of ten of 1 / (1 - p). */
static void print_latencies(struct latencies *all) {
  qsort(all->ns, (size_t)all->count, sizeof *all->ns, by_size);
  printf("\"p50\": %u, \"p90\": %u, \"p99\": %u, \"p999\": %u, \"p9999\": %u, \"max\": %u, ",
         exceeded_once_in(all, 2), exceeded_once_in(all, 10), exceeded_once_in(all, 100),
         exceeded_once_in(all, 1000), exceeded_once_in(all, 10000), all->ns[all->count - 1]);
  printf("\"stalls\": %ld, \"blocked\": %ld, \"preempted\": %ld, \"running\": %ld, \"curve\": [",
         all->blocked + all->preempted + all->running, all->blocked, all->preempted, all->running);
  for (int i = 0; pow(10, i / 10.0) <= (double)all->count; i++)
    printf("%s[%.2f, %u]", i == 0 ? "" : ", ", pow(10, i / 10.0), exceeded_once_in(all, pow(10, i / 10.0)));
  printf("]");
}

#endif
