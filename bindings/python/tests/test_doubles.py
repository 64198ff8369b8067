"""Clients that deliver nothing: `Client.disabled()`, and the one that records, with the library and without."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import meditopia
from meditopia import _disabled
from meditopia.testing import RecordingClient

GOOD = {"token": "t", "partner_user_id": "u", "event": "video"}
BAD = [
    {**GOOD, "event": "nap"},
    {**GOOD, "token": ""},
    {"token": "t", "event": "video"},
    {**GOOD, "partner_user_id": 1.5},
    {**GOOD, "event_value": object()},
    {**GOOD, "user": "u"},
]
#: Of these only the library knows.
BAD_FOR_THE_LIBRARY = [{**GOOD, "received_at": "yesterday"}, {**GOOD, "partner_user_id": "half \ud83d"}]


@pytest.fixture(params=["with the library", "without the library"])
def checks(request, monkeypatch):
    if request.param == "without the library":
        monkeypatch.setenv("MEDITOPIA_LIBRARY", "/none")
        monkeypatch.setattr("meditopia._library._loaded", {})
        return BAD
    return BAD + BAD_FOR_THE_LIBRARY


@pytest.fixture(params=[meditopia.Client.disabled, RecordingClient], ids=["disabled", "recording"])
def double(request, checks):
    return request.param()


def test_a_client_that_delivers_nothing_refuses_what_a_real_one_refuses(double, checks, spool):
    real = meditopia.Client(spool=spool, role="enqueue", library=Path(meditopia.__file__).with_name("libmeditopia.so.0"))
    for bad in checks:
        said = []
        for client in (real, double):
            with pytest.raises(meditopia.InvalidEvent) as caught:
                client.enqueue_many([GOOD, GOOD, bad, GOOD])
            said.append((str(caught.value).split(":")[0], caught.value.event_index, caught.value.queued))
        assert said[0] == said[1], bad
        if set(bad) == set(GOOD):
            with pytest.raises(meditopia.InvalidEvent) as caught:
                double.enqueue(**bad)
            assert caught.value.event_index is None and "(event" not in str(caught.value)
    assert double.stats.enqueued == real.stats.enqueued == 0
    real.close(0)


def test_a_client_that_delivers_nothing_takes_every_call(double):
    assert isinstance(double, meditopia.Client) and isinstance(double, meditopia.ClientLike)
    with double as client:
        client.enqueue(**GOOD)
        assert client.enqueue_many(GOOD for _ in range(2500)) == 2500
        assert client.stats.enqueued == 2501 and client.stats.delivered == 0
        assert client.flush(1).pending == 0
        client.hold(), client.resume(), client.poll_log(), client.set_bearer_token("secret")
        assert [*client.rejected, *client.in_doubt, *client.pending, *client.receipts] == []
        assert client.rejected.requeue() == client.rejected.discard([1]) == client.in_doubt.set_aside([1]) == 0
        assert client.sender_seen() == (None, False) and client.metrics() == ""
    for call in (client.flush, client.hold, lambda: client.enqueue(**GOOD), lambda: client.enqueue_many([GOOD])):
        with pytest.raises(meditopia.ClosedError):
            call()


def test_a_disabled_client_takes_the_options_of_a_real_one_and_touches_no_spool(spool, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    client = meditopia.Client.disabled(spool=spool, bearer_token="secret", max_event_bytes=1000)
    with pytest.raises(meditopia.InvalidEvent, match="max_event_bytes is 1000"):
        client.enqueue(**GOOD, event_value="x" * 2000)
    client.enqueue(**GOOD)
    assert os.listdir(tmp_path) == [] and "secret" not in repr(client) + repr(vars(client))
    with pytest.raises(TypeError, match="'lane' is not an option"):
        meditopia.Client.disabled(lane=1)


def test_a_disabled_client_says_so_once(caplog, monkeypatch):
    monkeypatch.setattr(_disabled, "_said", _disabled.threading.Event())
    for _ in range(3):
        meditopia.Client.disabled()
    assert caplog.messages == [
        "meditopia is disabled in this process: events are checked, and none is queued or delivered"
    ]


def test_a_recording_client_keeps_events_as_the_api_would_get_them():
    client = RecordingClient()
    client.enqueue(token=1, partner_user_id="u", event=meditopia.EventType.VIDEO, event_value={"a": (1, 2)})
    client.enqueue_many([meditopia.Event("t", "u", "audio", None, "2024-08-06 15:04:05")])
    assert client.events == [
        {"token": "1", "partner_user_id": "u", "event": "video", "event_value": {"a": [1, 2]}},
        {"token": "t", "partner_user_id": "u", "event": "audio", "received_at": "2024-08-06 15:04:05"},
    ]
    client.clear()
    assert client.events == []


#: As a machine without the library is: no module of Unix, and the name of another system.
ELSEWHERE = """
import asyncio, concurrent.futures, ctypes, sys, tempfile
sys.platform = "{platform}"
for name in ("fcntl", "pwd", "grp", "resource", "termios", "syslog"):
    sys.modules[name] = None
sys.path.insert(0, sys.argv[1])
import meditopia
from meditopia.testing import RecordingClient

client = RecordingClient()
client.enqueue(token="t", partner_user_id="u", event="video")
async def work():
    async with meditopia.Client.disabled(spool="x") as disabled:
        await disabled.aenqueue(token="t", partner_user_id="u", event="video")
asyncio.run(work())
assert len(client.events) == 1
try:
    meditopia.Client(spool="x")
except meditopia.LibraryError as error:
    print(error)
"""


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_the_package_without_its_library_imports_anywhere_and_has_its_doubles(tmp_path, platform):
    """From the wheel for every platform, which pip takes where it has no other."""
    build = Path(__file__).parents[1] / "build_wheel.py"
    subprocess.run([sys.executable, build, "--without-library", tmp_path], check=True, stdout=subprocess.PIPE)
    (wheel,) = tmp_path.glob("*-py3-none-any.whl")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run([*install, "--no-deps", f"--target={tmp_path / 'site'}", wheel], check=True)
    assert not list((tmp_path / "site").rglob("*.so*"))
    code = ELSEWHERE.format(platform=platform)
    environment = {name: value for name, value in os.environ.items() if name != "MEDITOPIA_LIBRARY"}
    run = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "site"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert f"libmeditopia is for Linux; this is {platform}" in run.stdout and "Client.disabled()" in run.stdout
