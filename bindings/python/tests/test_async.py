"""The helpers for asyncio do not block the loop."""

import asyncio

import pytest

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
