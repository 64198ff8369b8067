/* librdkafka's queue in memory: rd_kafka_produce copies the event, and nothing is durable. There is no
 * broker, so nothing but the queue costs anything; DIRECTORY is not used.
 *
 * All events are produced once and thrown away before it counts, so that the memory of the queue is
 * the process's already and no page is touched for the first time.
 *
 *   enqueue_rdkafka DIRECTORY ...      see contest.h
 */

#include "contest.h"

#include <limits.h>
#include <malloc.h>

#include <librdkafka/rdkafka.h>

static rd_kafka_t *producer;

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
  char why[512];
  if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK)
    fail(name, why);
}

static void *open_topic(const struct options *asked) {
  char why[512];
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  (void)asked;
  mallopt(M_TRIM_THRESHOLD, INT_MAX); /* what the warm-up frees stays */
  set(conf, "bootstrap.servers", "127.0.0.1:9");
  set(conf, "queue.buffering.max.messages", "10000000");
  set(conf, "queue.buffering.max.kbytes", "2147483647");
  rd_kafka_conf_set_log_cb(conf, NULL);
  producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
  if (producer == NULL)
    fail("rd_kafka_new", why);
  return rd_kafka_topic_new(producer, "events", NULL);
}

static void *share_topic(void *topic, int worker) {
  (void)worker;
  return topic;
}

static void produce(void *topic, long event) {
  if (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, (void *)(uintptr_t)fragment(event),
                       FRAGMENT_BYTES, NULL, 0, NULL) < 0)
    fail("rd_kafka_produce", rd_kafka_err2str(rd_kafka_last_error()));
}

static void fill_and_purge(void *topic, long events) {
  work_off(topic, events);
  if (rd_kafka_purge(producer, RD_KAFKA_PURGE_F_QUEUE) != RD_KAFKA_RESP_ERR_NO_ERROR)
    fail("rd_kafka_purge", "failed");
  while (rd_kafka_outq_len(producer) > 0)
    rd_kafka_poll(producer, 10);
}

int main(int argc, char **argv) {
  static const struct contender rdkafka = {
      .open = open_topic, .seat = share_topic, .enqueue = produce, .warm_up = fill_and_purge};
  return contest(argc, argv, &rdkafka);
}
