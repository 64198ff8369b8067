"""The library's log in `logging`."""

import logging
import subprocess
import sys
import threading
import time

from local_api import until

import meditopia


def event(client):
    client.enqueue(token="t", partner_user_id="u", event="video")


def test_what_the_library_says_comes_as_records_of_the_logger_with_level_and_time(api, spool, caplog):
    before = time.time()
    client = meditopia.Client(**api.options(spool, bearer_token="wrong", log_level="debug"))
    event(client)

    def paused():
        client.poll_log()
        return [record for record in caplog.records if record.levelno == logging.ERROR]

    record, consequence = until("both records of the pause", lambda: len(paused()) > 1 and paused())
    assert "every event is kept" in consequence.getMessage()
    assert (record.name, record.getMessage()[:13]) == ("meditopia", "paused (auth)")
    assert before - 1 < record.created < time.time() + 1

    client.set_bearer_token(api.token)
    client.flush(30)
    assert {record.levelno for record in caplog.records} == {logging.ERROR, logging.INFO, logging.DEBUG}
    client.close()


def test_an_enqueue_polls_the_log(api, spool, caplog):
    client = meditopia.Client(**api.options(spool, bearer_token="wrong"))

    def paused():
        event(client)
        return "paused (auth)" in caplog.text

    assert until("a record of the pause", paused)
    client.__exit__(None, None, None)


def test_a_handler_may_enqueue_and_a_filter_may_fail(api, spool):
    client = meditopia.Client(**api.options(spool, bearer_token="wrong", log_level="debug"))
    seen = []

    class Handler(logging.Handler):
        def emit(self, record):
            seen.append(record.getMessage())
            event(client)
            client.poll_log()

    def fails(record):
        raise RuntimeError("a defect of the application")

    def calls():
        event(client)
        until("a record", lambda: client.poll_log() or seen)
        logger.addFilter(fails)
        client.hold()
        client.poll_log()
        returned.set()

    returned = threading.Event()
    logger, handler = logging.getLogger("meditopia"), Handler()
    logger.addHandler(handler)
    try:
        # In a thread, because a poll that waits for itself would never come back.
        threading.Thread(target=calls, daemon=True).start()
        until("the calls to return", returned.is_set)
    finally:
        logger.removeFilter(fails)
        logger.removeHandler(handler)
    event(client)
    assert client.stats.enqueued == 2 + len(seen)
    client.__exit__(None, None, None)


def test_a_package_without_anything_to_say_prints_nothing(api, spool):
    code = f"""
import meditopia
with meditopia.Client(**{api.options(str(spool))!r}) as client:
    client.enqueue(token="t", partner_user_id="u", event="video")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")
    assert api.ledger()["accepted_events"] == 1
