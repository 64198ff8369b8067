"""The helpers for asyncio do not block the loop."""

import asyncio
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import pytest
from local_api import PATIENCE_S, until

import meditopia

#: Longer than any wait of these tests.
STUCK = {"fault": "delay", "ms": 6_000}


async def a_request_is_on_its_way(api):
    while not api.ledger()["requests"]:
        await asyncio.sleep(0.01)


def test_the_loop_turns_while_a_flush_waits(api, spool):
    api.set("faults", faults=[{"fault": "delay", "ms": 2_000}])

    async def story():
        # Only the flush sends; so while its request is on its way it waits.
        async with meditopia.Client(**api.options(spool, role="enqueue")) as client:
            await client.aenqueue(token="t", partner_user_id="u", event="video", event_value="0")
            more = [{"token": "t", "partner_user_id": "u", "event": "video", "event_value": "1"}]
            assert await client.aenqueue_many(more) == 1
            flush = asyncio.ensure_future(client.aflush(30))
            await a_request_is_on_its_way(api)
            assert api.ledger()["accepted_events"] == 0 and not flush.done()
            return await flush

    assert asyncio.run(story()).pending == 0
    assert api.arrived() == {"u": [0, 1]}


def test_an_event_that_is_refused_raises_in_its_task(client):
    async def story():
        with pytest.raises(meditopia.InvalidEvent, match="event: "):
            await client.aenqueue(token="t", partner_user_id="u", event="nap")
        with pytest.raises(meditopia.InvalidEvent, match="event 0, counted from 0"):
            await client.aenqueue_many([meditopia.Event("t", "u", "nap")])

    asyncio.run(story())


def test_a_flush_that_times_out_raises_in_its_task(api, spool):
    api.set("faults", faults=[STUCK])

    async def story():
        client = meditopia.Client(**api.options(spool))
        client.enqueue(token="t", partner_user_id="u", event="video")
        with pytest.raises(meditopia.TimedOut):
            await client.aflush(0.2)
        with pytest.raises(meditopia.TimedOut):
            await client.aclose(0)

    asyncio.run(story())


def test_a_task_that_is_cancelled_does_not_wait_for_its_flush(api, spool):
    api.set("faults", faults=[STUCK])

    async def story():
        client = meditopia.Client(**api.options(spool, role="enqueue"))
        client.enqueue(token="t", partner_user_id="u", event="video")
        flush = asyncio.ensure_future(client.aflush(1))
        await a_request_is_on_its_way(api)
        flush.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flush
        assert api.ledger()["accepted_events"] == 0

    asyncio.run(story())


WAITS = {
    "in a flush": "await client.aflush(300)",
    "in a close": "await client.aclose(300)",
    "in many flushes": "await asyncio.gather(*[client.aflush(300) for _ in range(40)])",
    "in a flush that was given up": "try: await asyncio.wait_for(client.aflush(300), 0.01)\n"
    "    except asyncio.TimeoutError: await asyncio.sleep(300)",
}


@pytest.mark.parametrize("where", WAITS)
def test_control_c_ends_a_program_whose_coroutine_waits(api, spool, where):
    api.set("faults", faults=[{"fault": "delay", "ms": 120_000}])
    code = f"""
import asyncio, meditopia
async def main():
    client = meditopia.Client(**{api.options(str(spool), role="both")!r})
    client.enqueue(token="t", partner_user_id="u", event="video", event_value="0")
    {WAITS[where]}
asyncio.run(main())
"""
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, preexec_fn=heed)
    until("the request", lambda: api.ledger()["requests"])
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert b"KeyboardInterrupt" in said
    assert api.ledger()["accepted_events"] == 0


def test_a_program_ends_although_a_wait_was_given_up(api, spool):
    api.set("faults", faults=[{"fault": "delay", "ms": 120_000}])
    code = f"""
import asyncio, meditopia
async def main():
    client = meditopia.Client(**{api.options(str(spool), role="enqueue")!r})
    client.enqueue(token="t", partner_user_id="u", event="video", event_value="0")
    try: await asyncio.wait_for(client.aflush(300), 0.2)
    except asyncio.TimeoutError: print("given up")
asyncio.run(main())
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S)
    assert (run.returncode, run.stdout, run.stderr) == (0, "given up\n", "")
    assert api.ledger()["accepted_events"] == 0


def test_names_are_looked_up_while_many_flushes_wait(api, spool):
    """asyncio looks names up in its default executor, which has at most 32 threads."""
    api.set("faults", faults=[STUCK])

    async def story():
        client = meditopia.Client(**api.options(spool, role="enqueue"))
        client.enqueue(token="t", partner_user_id="u", event="video")
        flushes = [asyncio.ensure_future(client.aflush(3)) for _ in range(40)]
        await a_request_is_on_its_way(api)
        await asyncio.get_running_loop().getaddrinfo("localhost", 80)
        assert not any(flush.done() for flush in flushes)
        for flush in flushes:
            flush.cancel()

    asyncio.run(story())


def test_a_thousand_enqueues_at_once_share_a_few_threads(api, client, monkeypatch):
    at_once, most, count = 0, 0, threading.Lock()
    enqueue = meditopia.Client.enqueue

    def slow(self, **event):
        nonlocal at_once, most
        with count:
            at_once += 1
            most = max(most, at_once)
        # As a disk that has to be waited for.
        time.sleep(0.005)
        enqueue(self, **event)
        with count:
            at_once -= 1

    monkeypatch.setattr(meditopia.Client, "enqueue", slow)

    async def story():
        one = {"token": "t", "event": "video", "event_value": "0"}
        await asyncio.gather(*[client.aenqueue(partner_user_id=f"u-{number}", **one) for number in range(1000)])

    asyncio.run(story())
    client.flush(60)
    assert len(api.arrived()) == 1000
    assert 1 < most <= 16


def test_a_cancelled_enqueue_of_many_ends_after_the_chunk_that_it_was_at(spool):
    reached, go_on = threading.Event(), threading.Event()

    ended = []

    def events():
        try:
            for number in range(5000):
                if number == 1500:
                    reached.set()
                    go_on.wait(PATIENCE_S)
                yield {"token": "t", "partner_user_id": "u", "event": "video"}
        finally:
            ended.append(True)

    async def story():
        client = meditopia.Client(spool=spool, role="enqueue")
        task = asyncio.ensure_future(client.aenqueue_many(events()))
        while not reached.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return client

    client = asyncio.run(story())
    go_on.set()
    until("the end of the chunk", lambda: client.stats.enqueued == 2000)
    until("the end of the thread", lambda: ended)
    assert client.stats.enqueued == 2000
    client.close(0)


def test_the_context_of_a_task_is_that_of_its_call(client):
    import contextvars

    request = contextvars.ContextVar("request", default=None)
    seen = []

    def events():
        seen.append(request.get())
        return iter(())

    class Source:
        __iter__ = staticmethod(events)

    async def story():
        request.set("of this task")
        await client.aenqueue_many(Source())

    asyncio.run(story())
    assert seen == ["of this task"]
