"""What may go in, and what an error says about what may not."""

from datetime import date, datetime, timedelta, timezone

import pytest

import meditopia


def good(count):
    return ({"token": "t", "partner_user_id": "u", "event": "video", "event_value": str(n)} for n in range(count))


@pytest.mark.parametrize(
    "changed, names",
    [
        ({"received_at": datetime(2024, 8, 6, 15, 4, 5)}, "received_at: .* has no time zone"),
        ({"received_at": date(2024, 8, 6)}, "received_at: is neither a datetime nor a str but a date"),
        ({"received_at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))}, "received_at: .* before the year 1"),
        ({"received_at": "yesterday"}, "received_at: "),
        ({"token": None}, "token: is not a string"),
        ({"token": ""}, "token: "),
        ({"partner_user_id": 17}, "partner_user_id: 17 is not a string"),
        ({"partner_user_id": "half \ud83d"}, "partner_user_id: holds half a character"),
        ({"partner_user_id": b"u-1"}, "bytes is not JSON"),
        ({"event": "nap"}, "event: "),
        ({"event_value": float("nan")}, "not JSON"),
        ({"event_value": object()}, "object is not JSON"),
    ],
)
def test_a_bad_event_is_refused_by_the_name_of_its_field_and_nothing_is_queued(client, changed, names):
    event = {"token": "t", "partner_user_id": "u", "event": "video", **changed}
    with pytest.raises(meditopia.InvalidEvent, match=names):
        client.enqueue(**event)
    with pytest.raises(meditopia.InvalidEvent, match=names) as caught:
        client.enqueue_many([*good(3), event])
    assert (caught.value.event_index, caught.value.queued) == (3, 0)
    assert "(event 3, counted from 0" in str(caught.value)
    assert client.stats.enqueued == 0


def test_a_time_goes_out_as_utc_whatever_its_zone(api, client):
    local_mean_time = timezone(timedelta(minutes=19, seconds=32))
    client.enqueue(
        token="t",
        partner_user_id="u",
        event="video",
        received_at=datetime(1900, 1, 1, 12, 0, 0, tzinfo=local_mean_time),
    )
    client.enqueue_many([meditopia.Event("t", "u", "video", None, datetime(2024, 2, 29, tzinfo=timezone.utc))])
    client.flush(30)
    assert [event["received_at"] for event in api.events()] == ["1900-01-01 11:40:28", "2024-02-29 00:00:00"]


def test_many_events_arrive_in_order_from_any_iterable(api, client):
    assert client.enqueue_many(good(3500)) == 3500
    assert client.enqueue_many([]) == 0
    client.flush(60)
    assert api.arrived() == {"u": list(range(3500))}


def test_an_error_names_the_index_in_the_whole_iterable_and_the_chunks_before_are_queued(api, client):
    events = [*good(2500)]
    events[2345] = {**events[2345], "event": "nap"}
    with pytest.raises(meditopia.InvalidEvent) as caught:
        client.enqueue_many(iter(events))
    error = caught.value
    assert (error.event_index, error.queued) == (2345, 2000)
    assert str(error).endswith("(event 2345, counted from 0; the 2000 before its chunk are queued)")

    events[2345]["event"] = "video"
    assert client.enqueue_many(events[error.queued :]) == 500
    client.flush(60)
    assert api.arrived() == {"u": list(range(2500))}


def test_an_iterable_that_fails_queues_whole_chunks_only(client):
    def events():
        yield from good(1500)
        raise KeyError("from the application")

    with pytest.raises(KeyError, match="from the application"):
        client.enqueue_many(events())
    assert client.stats.enqueued == 1000


def test_events_too_large_for_one_call_go_in_several(spool):
    client = meditopia.Client(spool=spool, role="enqueue", max_event_bytes=1 << 20)
    large = {"token": "t", "partner_user_id": "u", "event": "video", "event_value": "x" * 1_000_000}
    assert client.enqueue_many([large] * 70) == 70
    assert client.stats.enqueued == 70
    client.close(0)
