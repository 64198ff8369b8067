"""The helpers for asyncio do not block the loop."""

import asyncio
import time

import pytest

import meditopia


def test_the_loop_turns_while_a_flush_waits(api, spool):
    api.set("faults", faults=[{"fault": "delay", "ms": 1500}])

    async def story():
        longest, last = 0.0, time.monotonic()
        async with meditopia.Client(**api.options(spool)) as client:
            await client.aenqueue(token="t", partner_user_id="u", event="video", event_value="0")
            more = [{"token": "t", "partner_user_id": "u", "event": "video", "event_value": "1"}]
            assert await client.aenqueue_many(more) == 1
            flush = asyncio.ensure_future(client.aflush(30))
            last = time.monotonic()
            while not flush.done():
                await asyncio.sleep(0.005)
                longest, last = max(longest, time.monotonic() - last), time.monotonic()
            return longest, await flush

    longest, report = asyncio.run(story())
    assert report.pending == 0 and longest < 1.0
    assert api.arrived() == {"u": [0, 1]}


def test_a_flush_that_times_out_raises_in_the_task(api, spool):
    api.set("faults", faults=[{"fault": "delay", "ms": 4_000}])

    async def story():
        client = meditopia.Client(**api.options(spool))
        client.enqueue(token="t", partner_user_id="u", event="video")
        with pytest.raises(meditopia.TimedOut):
            await client.aflush(0.2)
        with pytest.raises(meditopia.TimedOut):
            await client.aclose(0)

    asyncio.run(story())


def test_a_task_that_is_cancelled_does_not_wait_for_its_flush(api, spool):
    api.set("faults", faults=[{"fault": "delay", "ms": 4_000}])

    async def story():
        client = meditopia.Client(**api.options(spool))
        client.enqueue(token="t", partner_user_id="u", event="video")
        begun = time.monotonic()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.aflush(3), 0.2)
        assert time.monotonic() - begun < 2

    asyncio.run(story())
