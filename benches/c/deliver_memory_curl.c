/* A hand-written deliverer without durability: events as JSON in a buffer, posted with libcurl by the hundred.
 *
 *   deliver_memory_curl URL EVENTS [--backlog] [--ca-file FILE]
 *
 * Without --backlog each hundred is posted as soon as it is there, so the buffer stays in the cache. With it
 * all are buffered before the first is posted, and what it says is of the posting alone.
 */

#define _GNU_SOURCE

#include "deliver_curl.h"
#include "deliver_encode.h"

struct queue {
  char *bytes;
  size_t *ends;
  long count;
};

static struct queue queue_of(long events) {
  struct queue queue = {malloc((size_t)events * EVENT_BYTES_MAX), malloc((size_t)events * sizeof(size_t)), 0};
  if (queue.bytes == NULL || queue.ends == NULL)
    fail("queue", "no memory");
  return queue;
}

static void enqueue(struct queue *queue, const struct event *event) {
  size_t begin = queue->count > 0 ? queue->ends[queue->count - 1] : 0;
  queue->ends[queue->count++] = begin + encode(queue->bytes + begin, event);
}

static void deliver(struct queue *queue, const struct poster *poster) {
  static struct body body;
  size_t begin = 0;
  for (long i = 0; i < queue->count;) {
    begin_body(&body);
    for (; i < queue->count && body.events < BATCH; begin = queue->ends[i++])
      add_to_body(&body, queue->bytes + begin, queue->ends[i] - begin);
    end_body(&body);
    post(poster, body.bytes, body.length);
  }
  queue->count = 0;
}

int main(int argc, char **argv) {
  bool backlog = false;
  const char *ca_file = NULL;
  struct event event;

  if (argc < 3)
    fail("usage", "deliver_memory_curl URL EVENTS [--backlog] [--ca-file FILE]");
  for (int i = 3; i < argc; i++) {
    if (strcmp(argv[i], "--backlog") == 0)
      backlog = true;
    else if (strcmp(argv[i], "--ca-file") == 0 && i + 1 < argc)
      ca_file = argv[++i];
    else
      fail("unknown option", argv[i]);
  }
  long events = atol(argv[2]);
  struct poster poster = open_poster(argv[1], ca_file);
  struct queue queue = queue_of(backlog ? events : BATCH);
  for (long i = 0; i < events; i++) {
    make_event(&event, i);
    enqueue(&queue, &event);
    if (!backlog && queue.count == BATCH)
      deliver(&queue, &poster);
  }
  int64_t began_ns = now_ns(), began_cpu_ns = process_cpu_ns();
  deliver(&queue, &poster);
  double seconds = (double)(now_ns() - began_ns) / 1e9, cpu_us = (double)(process_cpu_ns() - began_cpu_ns) / 1e3;
  double requests = (double)((events + BATCH - 1) / BATCH);
  close_poster(&poster);
  printf("{\"seconds\": %.6f, \"requests_per_s\": %.1f, \"cpu_us_per_request\": %.2f}\n", seconds,
         requests / seconds, cpu_us / requests);
  return 0;
}
