"""What may go in, and what an error says about what may not."""

from datetime import date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, IntEnum
from uuid import UUID

import numpy
import pandas
import pytest

import meditopia


def good(count):
    return ({"token": "t", "partner_user_id": "u", "event": "video", "event_value": str(n)} for n in range(count))


class FailingZone(tzinfo):
    def utcoffset(self, time):
        raise RuntimeError("lost")


class EncodesItself:
    def encode(self, *how):
        return b"u-1"


class Color(IntEnum):
    RED = 17


class Plan(Enum):
    PRO = "pro"


class Text(str):
    """What an ORM or a template engine makes of a text."""

    def encode(self, *how):
        return "not what is in it"

    def __str__(self):
        return "<Text>"


def kind(value):
    return type(value).__name__


def cycle():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "changed, names",
    [
        ({"received_at": datetime(2024, 8, 6, 15, 4, 5)}, "received_at: .* has no time zone"),
        ({"received_at": date(2024, 8, 6)}, "received_at: is neither a datetime nor a str but a date"),
        ({"received_at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))}, "received_at: .* before the year 1"),
        ({"received_at": "yesterday"}, "received_at: "),
        ({"received_at": pandas.NaT}, "received_at: is a NaTType, which is no time; give None for now"),
        ({"received_at": float("nan")}, "received_at: is neither a datetime nor a str but a float"),
        ({"received_at": numpy.datetime64("2024-08-06")}, "received_at: .* but a datetime64"),
        ({"received_at": datetime(2024, 8, 6, tzinfo=FailingZone())}, "received_at: this datetime tells no time: lost"),
        ({"token": None}, "token: is not a str, an int or a UUID but None"),
        ({"token": ""}, "token: "),
        ({"token": True}, "token: is not a str, an int or a UUID but a bool"),
        ({"partner_user_id": 17.0}, "partner_user_id: is not a str, an int or a UUID but a float"),
        ({"partner_user_id": Decimal(17)}, "partner_user_id: .* but a Decimal"),
        ({"partner_user_id": numpy.bool_(True)}, "partner_user_id: .* but a bool"),
        ({"partner_user_id": numpy.float64(17)}, "partner_user_id: .* but a float64"),
        ({"partner_user_id": 10**5000}, "partner_user_id: "),
        ({"partner_user_id": "half \ud83d"}, "partner_user_id: holds half a character"),
        ({"partner_user_id": b"u-1"}, "partner_user_id: .* but a bytes"),
        ({"partner_user_id": EncodesItself()}, "partner_user_id: .* but an EncodesItself"),
        ({"event": "nap"}, "event: "),
        ({"event": 17}, "event: is not a str but an int"),
        ({"event": Color.RED}, "event: is not a str but an int"),
        ({"event_value": float("nan")}, "event_value: cannot be written as JSON: Out of range float"),
        ({"event_value": numpy.float32("nan")}, "event_value: cannot be written as JSON: Out of range float"),
        ({"event_value": object()}, "event_value: holds an object, which is not JSON"),
        ({"event_value": {"price": Decimal("1.5")}}, "event_value: holds a Decimal, which is not JSON"),
        ({"event_value": [b"bytes"]}, "event_value: holds a bytes"),
        ({"event_value": {"at": pandas.NaT}}, "event_value: holds a NaTType"),
        ({"event_value": datetime(2024, 8, 6)}, "event_value: holds a datetime"),
        ({"event_value": numpy.array([1])}, "event_value: holds a ndarray"),
        ({"event_value": {UUID(int=1): 1}}, "event_value: cannot be written as JSON: keys must be .* not UUID"),
        ({"event_value": cycle()}, "event_value: cannot be written as JSON: Circular"),
    ],
    ids=kind,
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


@pytest.mark.parametrize(
    "given, sent",
    [
        (17, "17"),
        (-17, "-17"),
        (Color.RED, "17"),
        (numpy.int64(17), "17"),
        (numpy.uint8(17), "17"),
        (UUID("{12345678-ABCD-5678-1234-567812345678}"), "12345678-abcd-5678-1234-567812345678"),
        (Plan.PRO, "pro"),
        (Text("caf\u00e9"), "caf\u00e9"),
        (numpy.str_("u-1"), "u-1"),
    ],
    ids=kind,
)
def test_an_id_may_be_a_number_or_a_uuid_and_is_sent_as_text(api, client, given, sent):
    client.enqueue(token=given, partner_user_id=given, event="video")
    client.enqueue_many([{"token": given, "partner_user_id": given, "event": "video"}])
    client.enqueue_many([meditopia.Event(given, given, "video")])
    client.flush(30)
    assert [(event["token"], event["partner_user_id"]) for event in api.events()] == [(sent, sent)] * 3


@pytest.mark.parametrize(
    "given, sent",
    [
        ([1, "a", None], [1, "a", None]),
        ((1, 2), [1, 2]),
        ({"minutes": numpy.int64(5), "rate": numpy.float32(0.5)}, {"minutes": 5, "rate": 0.5}),
        ([numpy.bool_(True), numpy.float64(1.5)], [True, 1.5]),
        ({"session": UUID(int=1)}, {"session": "00000000-0000-0000-0000-000000000001"}),
        ([Plan.PRO, Color.RED, Text("x")], ["pro", 17, "x"]),
        (Text("plain"), "plain"),
        (numpy.int64(5), 5),
        (0, 0),
        ("", ""),
    ],
    ids=kind,
)
def test_a_value_may_be_what_json_has_a_form_for_and_is_sent_as_that(api, client, given, sent):
    client.enqueue(token="t", partner_user_id="u", event="video", event_value=given)
    client.enqueue_many([meditopia.Event("t", "u", "video", given)])
    client.flush(30)
    assert [event["event_value"] for event in api.events()] == [sent] * 2


def test_a_kind_or_a_time_may_be_a_subclass_of_text_and_a_time_one_of_pandas(api, client):
    moment = pandas.Timestamp("2024-08-06 15:04:05.123456789", tz="Europe/Berlin")
    for time in (moment, Text("2024-08-06 13:04:05")):
        client.enqueue(token="t", partner_user_id="u", event=Text("video"), received_at=time)
        client.enqueue_many([meditopia.Event("t", "u", Text("video"), None, time)])
    client.flush(30)
    assert [(event["event"], event["received_at"]) for event in api.events()] == [("video", "2024-08-06 13:04:05")] * 4


@pytest.mark.parametrize("what", [17, ("t", "u", "video"), "video", None, pandas.NaT], ids=kind)
def test_what_is_no_event_is_refused_by_its_type(client, what):
    with pytest.raises(meditopia.InvalidEvent, match=f"is neither an Event nor a mapping but .*{type(what).__name__}|None"):
        client.enqueue_many([what])
    with pytest.raises(meditopia.InvalidArgument, match="events: is not an iterable but a int"):
        client.enqueue_many(17)


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


@pytest.mark.parametrize("good_ones, queued", [(0, 0), (1500, 1000), (2000, 2000)])
def test_an_iterable_that_raises_says_how_many_are_queued_and_a_retry_from_there_repeats_none(
    api, client, good_ones, queued
):
    def events():
        yield from good(good_ones)
        raise KeyError("from the application")

    with pytest.raises(meditopia.SourceError, match=f"raised KeyError: .*the {queued} events before its chunk") as caught:
        client.enqueue_many(events())
    assert isinstance(caught.value.__cause__, KeyError) and caught.value.__cause__.args == ("from the application",)
    assert caught.value.queued == queued == client.stats.enqueued
    assert client.enqueue_many([*good(3000)][caught.value.queued :]) == 3000 - queued
    client.flush(60)
    assert api.arrived() == {"u": list(range(3000))} and api.ledger()["accepted_events"] == 3000


def test_a_full_spool_says_how_many_of_many_events_are_queued(spool):
    client = meditopia.Client(spool=spool, role="enqueue", max_spool_bytes=300_000)
    with pytest.raises(meditopia.SpoolFull) as caught:
        client.enqueue_many(good(100_000))
    assert caught.value.queued == client.stats.enqueued > 0
    client.close(0)


def test_events_too_large_for_one_call_go_in_several(spool):
    client = meditopia.Client(spool=spool, role="enqueue", max_event_bytes=1 << 20)
    large = {"token": "t", "partner_user_id": "u", "event": "video", "event_value": "x" * 1_000_000}
    assert client.enqueue_many([large] * 70) == 70
    assert client.stats.enqueued == 70
    client.close(0)
