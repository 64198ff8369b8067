"""An enqueue costs at most half of a record that `logging` writes to a file: what an application did before."""

import logging
from time import perf_counter_ns

import meditopia

EVENT = ("user-token-00000007919", "user-0104729", "video", "morning calm")
CALLS = 2_000
ROUNDS = 15


def ns_a_call(call):
    begun = perf_counter_ns()
    for _ in range(CALLS):
        call()
    return (perf_counter_ns() - begun) / CALLS


def test_an_enqueue_costs_at_most_half_of_a_log_record(tmp_path):
    logger = logging.getLogger("before")
    handler = logging.FileHandler(tmp_path / "events.log")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    client = meditopia.Client(spool=tmp_path / "spool", role="enqueue")
    token, user, event, value = EVENT

    def enqueue():
        client.enqueue(token=token, partner_user_id=user, event=event, event_value=value)

    def log():
        logger.info("token=%s user=%s event=%s value=%s", *EVENT)

    try:
        # In turns, and the best of each: what else the machine does hits both alike.
        rounds = [(ns_a_call(enqueue), ns_a_call(log)) for _ in range(ROUNDS)]
    finally:
        logger.removeHandler(handler)
        handler.close()
        client.close(0)
    enqueue_ns, log_ns = (min(each) for each in zip(*rounds))
    print(f"enqueue {enqueue_ns:.0f} ns, log record {log_ns:.0f} ns, ratio {enqueue_ns / log_ns:.2f}")
    assert enqueue_ns <= 0.5 * log_ns
