"""How it ends: `with`, `del`, the interpreter, Ctrl-C. Nothing is lost and nobody waits longer than was said."""

import signal
import subprocess
import sys
import threading
import time

import pytest
from local_api import until

import meditopia

#: What a call that waits for nothing may take on a machine that is busy.
AT_ONCE_S = 2.0
#: Longer than any wait that is tested; the process's next client then waits for the rest of it.
STUCK = {"fault": "delay", "ms": 8_000}


def event(client, value=None):
    client.enqueue(token="t", partner_user_id="u", event="video", event_value=value)


def test_the_end_of_a_with_block_delivers(api, spool):
    with meditopia.Client(**api.options(spool)) as client:
        event(client)
    assert api.ledger()["accepted_events"] == 1
    with pytest.raises(meditopia.ClosedError):
        event(client)
    client.close()


def test_a_with_block_beside_a_stuck_api_waits_five_seconds_logs_what_waits_and_raises_nothing(api, spool, caplog):
    api.set("faults", faults=[STUCK])
    begun = time.monotonic()
    with meditopia.Client(**api.options(spool)) as client:
        event(client)
    assert 4.5 < time.monotonic() - begun < 5 + AT_ONCE_S
    assert "closed before all was delivered; 1 events wait in the spool" in caplog.text

    api.set("faults", faults=[])
    with meditopia.Client(**api.options(spool)) as client:
        assert client.flush(60).pending == 0


def test_a_with_block_does_not_hide_what_was_raised_in_it(spool):
    with pytest.raises(KeyError, match="of the application"):
        with meditopia.Client(spool=spool, role="enqueue") as client:
            event(client)
            raise KeyError("of the application")


def test_a_client_that_only_enqueues_ends_without_sending(api, spool):
    with meditopia.Client(**api.options(spool, role="enqueue")) as client:
        event(client)
    assert api.ledger()["requests"] == 0
    with meditopia.Client(**api.options(spool)) as client:
        client.flush(30)
    assert api.ledger()["accepted_events"] == 1


def test_deleting_a_client_waits_for_nothing_and_loses_nothing(api, spool):
    api.set("faults", faults=[STUCK])
    client = meditopia.Client(**api.options(spool))
    event(client)
    until("the request", lambda: api.ledger()["requests"])
    begun = time.monotonic()
    del client
    assert time.monotonic() - begun < AT_ONCE_S

    api.set("faults", faults=[])
    with meditopia.Client(**api.options(spool)) as client:
        client.flush(60)
    assert api.ledger()["distinct_events"] == 1


def test_a_client_that_did_not_open_is_deleted_quietly(tmp_path, capsys):
    with pytest.raises(meditopia.ConfigError):
        meditopia.Client(spool=tmp_path / "spool", lanes=99)
    assert capsys.readouterr().err == ""


ENDS = {
    "at the end of the program": "",
    "by sys.exit": "import sys; sys.exit(0)",
    "by an exception": "raise SystemExit(0) from ValueError()",
    "with a reference in a cycle": "cycle = [client]; cycle.append(cycle)",
    "with a daemon thread in a call": """
import threading, time
threading.Thread(target=client.flush, daemon=True).start()
time.sleep(0.3)
""",
    "in atexit": "import atexit; atexit.register(client.__exit__, None, None, None)",
    "by os._exit": "import os; os._exit(0)",
}


@pytest.mark.parametrize("how", ENDS)
def test_an_interpreter_that_ends_waits_for_nothing_and_loses_nothing(api, spool, how):
    stuck = how != "in atexit"
    api.set("faults", faults=[STUCK] if stuck else [])
    code = f"""
import meditopia
client = meditopia.Client(**{api.options(str(spool))!r})
client.enqueue(token="t", partner_user_id="u", event="video", event_value="0")
{ENDS[how]}
"""
    begun = time.monotonic()
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")
    assert time.monotonic() - begun < 2 * AT_ONCE_S + 1
    api.set("faults", faults=[])
    with meditopia.Client(**api.options(spool)) as client:
        client.flush(60)
    assert api.arrived() == {"u": [0]}


def test_control_c_ends_a_flush_at_once(api, spool):
    api.set("faults", faults=[STUCK])
    code = f"""
import meditopia
client = meditopia.Client(**{api.options(str(spool))!r})
client.enqueue(token="t", partner_user_id="u", event="video")
client.flush(7)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    until("the request", lambda: api.ledger()["requests"])
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in said and time.monotonic() - begun < AT_ONCE_S


def test_other_threads_run_while_one_waits(api, spool):
    """The GIL is not held in a call that waits: a flush waits, and this thread counts on."""
    api.set("faults", faults=[STUCK])
    client = meditopia.Client(**api.options(spool))
    event(client)
    ended = threading.Event()

    def wait():
        with pytest.raises(meditopia.TimedOut):
            client.flush(1.5)
        ended.set()

    # From before the start, which does not return before the other thread has let go once.
    longest, last = 0.0, time.monotonic()
    threading.Thread(target=wait).start()
    while not ended.is_set():
        event(client)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    assert longest < 1.0
