"""What a client promises its application, against the real local API."""

import inspect
import json
import os
import pickle
import re
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from local_api import BUILD, until

import meditopia
from meditopia._errors import BY_STATUS

VIDEO = {"token": "t-1", "event": "video"}


def test_what_was_enqueued_arrives_in_order_with_all_its_fields(api, client):
    noon = datetime(2024, 8, 6, 15, 4, 5, 999999, timezone(timedelta(hours=3)))
    client.enqueue(
        token="t-1", partner_user_id="u-1", event="video", event_value="caf\u00e9 \U0001f600\0", received_at=noon
    )
    client.enqueue(token="t-2", partner_user_id="u-2", event=meditopia.EventType.AUDIO, event_value={"a": [1, None]})
    client.enqueue(token="t-3", partner_user_id="u-3", event="signin", received_at="2024-08-06 15:04:05")

    assert client.flush(30).pending == 0
    first, second, third = api.events()
    assert first == {
        "token": "t-1",
        "partner_user_id": "u-1",
        "event": "video",
        "event_value": "caf\u00e9 \U0001f600\0",
        "received_at": "2024-08-06 12:04:05",
    }
    assert (second["event"], second["event_value"]) == ("audio", {"a": [1, None]})
    assert (third["event_value"], third["received_at"]) == (None, "2024-08-06 15:04:05")


def test_a_flush_reports_what_it_did(api, spool):
    api.set("users", unknown=["u-2"])
    # Nobody else sends, so all of it is the work of this flush.
    client = meditopia.Client(**api.options(spool, role="enqueue"))
    for number in range(4):
        client.enqueue(partner_user_id=f"u-{number}", **VIDEO)
    report = client.flush(timedelta(seconds=30))
    assert (report.delivered, report.rejected, report.expired) == (3, 1, 0)
    assert (report.pending, report.in_doubt, report.pause_reason) == (0, 0, meditopia.PauseReason.NONE)
    assert (report.paused_since, report.next_probe) == (None, None)
    client.close()


def test_a_rejected_event_is_listed_with_its_reason_and_its_neighbours_arrive(api, client, tmp_path):
    api.set("users", unknown=["u-17", "u-18"])
    for number in range(100):
        client.enqueue(partner_user_id=f"u-{number}", **VIDEO)
    client.flush(60)
    stats = client.stats
    assert (stats.delivered, stats.rejected, stats.pending) == (98, 2, 0)
    assert stats.refused_requests >= 2 <= stats.isolation_requests

    row, other = client.rejected
    assert (row.event["partner_user_id"], row.api_code, row.http_status) == ("u-17", "A_1104", 404)
    assert (row.reason, row.reason.may_be_delivered) == (meditopia.Reason.REFUSED, False)
    assert row.attempts >= 1 and row.first <= row.last <= datetime.now(timezone.utc)
    assert [other.id] == [each.id for each in client.rejected(partner_user_id="u-18")]
    assert [other.id] == [each.id for each in client.rejected(after_id=row.id)]
    assert list(client.rejected(reason=meditopia.Reason.EXPIRED)) == []
    assert list(client.rejected(until=row.first)) == []
    assert list(client.rejected(until=datetime.fromtimestamp(0, timezone.utc))) == []

    assert client.rejected(api_code="A_1104").export(tmp_path / "rejected.ndjson") == 2
    lines = (tmp_path / "rejected.ndjson").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == [row.event, other.event]

    api.set("users", unknown=["u-18"])
    assert client.rejected.requeue([row.id]) == 1
    assert client.rejected(partner_user_id="u-18").discard() == 1
    client.flush(30)
    assert list(client.rejected) == [] and client.stats.delivered == 99
    with pytest.raises(meditopia.InvalidArgument, match="filter"):
        client.rejected(api_code="A_1104").discard([row.id])


def test_a_user_is_erased_and_what_is_in_flight_is_told(api, client, spool):
    api.set("users", unknown=["gone"])
    for _ in range(3):
        client.enqueue(partner_user_id="gone", **VIDEO)
    client.enqueue(partner_user_id="stays", **VIDEO)
    client.flush(60)
    client.hold()
    for user in ("gone", "stays", "gone"):
        client.enqueue(partner_user_id=user, **VIDEO)
    erasure = client.forget_user("gone")
    assert (erasure.pending, erasure.rejected, erasure.in_flight) == (2, 3, 0)
    assert erasure.is_complete and erasure.files_left == 0
    assert not [file for file in spool.rglob("*") if file.is_file() and b'"gone"' in file.read_bytes()]
    client.resume()
    client.flush(30)
    assert (client.stats.delivered, list(client.rejected)) == (2, [])
    assert client.forget_user("stays", 30).receipts >= 1
    with pytest.raises(meditopia.InvalidArgument, match="partner_user_id"):
        client.forget_user("")


def test_a_time_that_cannot_be_meant_is_refused(client):
    for bad in (datetime(2024, 8, 6), "yesterday"):
        with pytest.raises(meditopia.InvalidArgument, match="since: "):
            client.rejected(since=bad)
    for bad in ("soon", -1, float("nan"), None):
        with pytest.raises(meditopia.InvalidArgument, match="timeout: "):
            client.flush(bad)


def test_an_event_without_an_answer_is_listed_in_doubt_and_can_be_set_aside(api, client):
    api.set("faults", faults=[{"fault": "status", "status": 503, "when": "after"}])
    client.enqueue(partner_user_id="u-1", **VIDEO)
    (row,) = until("a row in doubt", lambda: list(client.in_doubt))
    assert (row.reason, row.event["partner_user_id"]) == (meditopia.Reason.IN_DOUBT, "u-1")
    assert list(client.in_doubt(after_id=row.id)) == []

    client.hold()
    # A request that was on its way at the hold still ends; until then its event stays.
    until("the end of the last request", lambda: client.in_doubt.set_aside([row.id]) == 1)
    (aside,) = client.rejected
    assert aside.reason is meditopia.Reason.SET_ASIDE and aside.reason.may_be_delivered


def test_what_waits_and_what_was_accepted_are_listed_and_a_sender_is_seen(api, spool):
    client = meditopia.Client(**api.options(spool, role="enqueue"))
    assert client.sender_seen() == (None, False)
    for user in ("u-1", "u-2", "u-1"):
        client.enqueue(partner_user_id=user, **VIDEO)
    assert client.sender_seen() == (None, True)
    rows = list(client.pending)
    assert [row.event["partner_user_id"] for row in rows] == ["u-1", "u-2", "u-1"]
    assert {row.reason for row in rows} == {meditopia.Reason.JOURNALLED} and not rows[0].reason.may_be_delivered
    assert [row.id for row in client.pending(partner_user_id="u-1", after_id=rows[0].id)] == [rows[2].id]

    client.flush(30)
    assert list(client.pending) == []
    seen = client.sender_seen()
    assert seen.seen is not None and not seen.waiting
    (receipt,) = client.receipts
    assert (receipt.events, receipt.video_events, receipt.users, receipt.attempts) == (3, 3, 2, 1)
    assert receipt.events_by_user == {"u-1": {"video": 2}, "u-2": {"video": 1}}
    assert receipt.time is not None and 200 <= receipt.http_status < 300
    now = datetime.now(timezone.utc)
    assert [each.id for each in client.receipts(partner_user_id="u-2", since=now - timedelta(hours=1))] == [receipt.id]
    for none in ({"partner_user_id": "u-3"}, {"after_id": receipt.id}, {"since": now + timedelta(hours=1)}):
        assert list(client.receipts(**none)) == []
    assert list(client.receipts(until=datetime.fromtimestamp(0, timezone.utc))) == []
    stats = client.stats
    assert (stats.delivered_requests, stats.request.count, sum(stats.delivery.buckets)) == (1, 1, stats.delivery.count)
    client.close(0)


def test_a_refused_token_pauses_keeps_all_and_a_new_token_goes_on(api, spool):
    client = meditopia.Client(**api.options(spool, bearer_token="of-yesterday"))
    client.enqueue(partner_user_id="u-1", **VIDEO)
    with pytest.raises(meditopia.Paused) as caught:
        client.flush(30)
    paused = caught.value
    assert (paused.pause_reason, paused.api_code, paused.http_status) == (meditopia.PauseReason.AUTH, "A_1002", 401)
    assert (paused.retryable, paused.report.pending) == (True, 1)
    assert client.stats.pause_reason is meditopia.PauseReason.AUTH and client.stats.next_probe
    copy = pickle.loads(pickle.dumps(paused))
    assert (str(copy), copy.report, copy.api_code) == (str(paused), paused.report, "A_1002")

    client.set_bearer_token(api.token)
    assert client.flush(30).pending == 0
    assert api.ledger()["accepted_events"] == 1
    client.close()


def test_a_hold_stops_delivery_and_a_resume_ends_it(api, client):
    client.hold()
    client.enqueue(partner_user_id="u-1", **VIDEO)
    with pytest.raises(meditopia.Paused) as caught:
        client.flush(5)
    assert caught.value.pause_reason is meditopia.PauseReason.HOLD
    client.resume()
    assert client.flush(30).pending == 0
    assert api.ledger()["accepted_events"] == 1


def test_stats_count_and_speak_prometheus(client):
    client.enqueue(partner_user_id="u-1", **VIDEO)
    client.flush(timedelta(seconds=30))
    stats = client.stats
    assert (stats.enqueued, stats.delivered, stats.pending, stats.lost) == (1, 1, 0, 0)
    assert datetime.now(timezone.utc) - stats.sender_seen < timedelta(minutes=5)
    assert "meditopia_events_enqueued_total 1" in client.metrics()
    assert json.loads(client.stats_json())["delivered"] == 1


def test_every_exception_says_what_it_is_about(api, client, spool, tmp_path):
    with pytest.raises(meditopia.Conflict, match="lanes"):
        meditopia.Client(**api.options(spool, lanes=3))
    with pytest.raises(meditopia.ConfigError, match="spool"):
        meditopia.Client()
    with pytest.raises(meditopia.SpoolIOError, match="file/spool"):
        (tmp_path / "file").write_text("")
        meditopia.Client(spool=tmp_path / "file" / "spool")
    full = meditopia.Client(**api.options(tmp_path / "full", role="enqueue", max_spool_bytes=4096))
    with pytest.raises(meditopia.SpoolFull):
        for _ in range(1000):
            full.enqueue(partner_user_id="u-1", event_value="x" * 1000, **VIDEO)
    full.close(0)
    with pytest.raises(meditopia.ClosedError):
        full.enqueue(partner_user_id="u-1", **VIDEO)
    api.set("faults", faults=[{"fault": "delay", "ms": 1000}])
    client.enqueue(partner_user_id="u-1", **VIDEO)
    with pytest.raises(TimeoutError, match="not all is delivered yet") as caught:
        client.flush(0.1)
    assert caught.value.report.pending == 1 and caught.value.retryable
    with pytest.raises(TypeError, match="open one in the other process"):
        pickle.dumps(client)


@pytest.mark.parametrize("kind", [*BY_STATUS.values(), meditopia.LibraryError])
def test_an_exception_keeps_all_on_its_way_to_another_process(kind):
    error = kind("what happened", retryable=True, event_index=7, queued=5)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.__dict__) == (kind, "what happened", error.__dict__)


def test_the_threads_of_a_process_share_a_client_and_each_keeps_its_order(api, client):
    def work(user):
        for number in range(500):
            client.enqueue(partner_user_id=user, event_value=str(number), **VIDEO)

    threads = [threading.Thread(target=work, args=(f"u-{index}",)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.flush(60)
    assert api.arrived() == {f"u-{index}": list(range(500)) for index in range(8)}


def test_errors_of_threads_do_not_mix(client):
    wrong = []

    def work(name):
        for number in range(300):
            try:
                client.enqueue(token="t", partner_user_id="u", event=f"{name}-{number}")
            except meditopia.InvalidEvent as error:
                if f'"{name}-{number}"' not in str(error):
                    wrong.append(str(error))
            else:
                wrong.append("no error")

    threads = [threading.Thread(target=work, args=(f"event{index}",)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_every_option_of_the_library_is_an_argument():
    """The header documents them; a key that is added there must not be forgotten here."""
    header = (Path(__file__).parents[3] / "include" / "meditopia.h").read_text()
    section = header[
        header.index(" *   key                  type") : header.index(" * Does not block.", header.index(" *   key   "))
    ]
    keys = set(re.findall(r"^ \*   ([a-z_]+)  +\S", section, re.M)) - {"key"}
    assert len(keys) > 20
    assert keys <= set(inspect.signature(meditopia.Client.__init__).parameters)


def test_the_quickstart_does_what_it_says(spool):
    quickstart = Path(__file__).parents[1] / "examples" / "quickstart.py"
    command = [
        BUILD / "meditopia",
        "sandbox",
        "--unknown-user=user-3",
        "--expect-events=4",
        "--",
        sys.executable,
        quickstart,
    ]
    run = subprocess.run(
        command, env={**os.environ, "MEDITOPIA_SPOOL": str(spool)}, stdout=subprocess.PIPE, text=True, timeout=60
    )
    assert run.returncode == 0
    assert "rejected: user-3, A_1104 User not found.\ndelivered 4, rejected 1, pending 0\n" in run.stdout
