"""How it ends: `with`, `del`, the interpreter, Ctrl-C. Nothing is lost, and nobody waits longer than was said.

What "longer" is the API tells, not a clock: it takes the events of a stuck request only when its delay is over. While
it has accepted none, whoever has ended did not wait for it.
"""

import signal
import subprocess
import sys
import threading
from functools import partial

import pytest
from local_api import PATIENCE_S, until

import meditopia

#: Longer than the 5 s of a `with` block, on a machine that is busy.
STUCK = {"fault": "delay", "ms": 120_000}


def event(client, value=None):
    client.enqueue(token="t", partner_user_id="u", event="video", event_value=value)


def program(options, body):
    """Python code with a client whose event is on its way to a stuck API when `body` begins, if it sends at all."""
    code = f"""
import logging, sys, time, meditopia
logging.basicConfig(stream=sys.stdout)
client = meditopia.Client(**{options!r})
client.enqueue(token="t", partner_user_id="u", event="video", event_value="0")
while {options.get("role", "both")!r} == "both" and not list(client.in_doubt):
    time.sleep(0.01)
{body}
"""
    return [sys.executable, "-c", code]


def assert_delivered_later(api, spool):
    """By the next process, as soon as the API answers again."""
    api.set("faults", faults=[])
    with meditopia.Client(**api.options(spool)) as client:
        assert client.flush(PATIENCE_S).pending == 0
    assert api.arrived() == {"u": [0]}


def test_the_end_of_a_with_block_waits_for_delivery(api, spool):
    api.set("faults", faults=[{"fault": "delay", "ms": 1_000}])
    with meditopia.Client(**api.options(spool)) as client:
        event(client)
    assert api.ledger()["accepted_events"] == 1
    with pytest.raises(meditopia.ClosedError):
        event(client)
    client.close()


def test_a_with_block_beside_a_stuck_api_ends_logs_what_waits_and_raises_nothing(api, spool):
    api.set("faults", faults=[STUCK])
    run = subprocess.run(program(api.options(str(spool)), "with client: pass"), capture_output=True, text=True)
    assert api.ledger()["accepted_events"] == 0
    assert (run.returncode, run.stderr) == (0, "")
    assert "WARNING:meditopia:closed before all was delivered; 1 events wait in the spool" in run.stdout
    assert_delivered_later(api, spool)


def test_a_with_block_gives_the_library_five_seconds(spool, monkeypatch):
    given = []
    close = meditopia.Client.close
    monkeypatch.setattr(meditopia.Client, "close", lambda self, timeout: given.append(timeout) or close(self, timeout))
    with meditopia.Client(spool=spool, role="enqueue"):
        pass
    assert given == [5.0]


def test_a_with_block_raises_nothing_whatever_a_filter_of_the_log_does(api, spool, caplog):
    def fails(record):
        raise RuntimeError("a defect of the application")

    try:
        with meditopia.Client(**api.options(spool, bearer_token="wrong")) as client:
            event(client)
            caplog.handler.addFilter(fails)
    finally:
        caplog.handler.removeFilter(fails)
    with pytest.raises(meditopia.ClosedError):
        event(client)


def test_a_with_block_does_not_hide_what_was_raised_in_it(spool):
    with pytest.raises(KeyError, match="of the application"):
        with meditopia.Client(spool=spool, role="enqueue") as client:
            event(client)
            raise KeyError("of the application")


def test_a_client_that_only_enqueues_ends_without_sending_and_says_what_waits(api, spool, caplog):
    with meditopia.Client(**api.options(spool, role="enqueue")) as client:
        event(client, "0")
    assert "closed; 1 events wait in the spool" in caplog.text
    assert api.ledger()["requests"] == 0
    assert_delivered_later(api, spool)


def test_a_client_that_did_not_open_is_deleted_quietly(tmp_path, capsys):
    with pytest.raises(meditopia.ConfigError):
        meditopia.Client(spool=tmp_path / "spool", lanes=99)
    assert capsys.readouterr().err == ""


ENDS = {
    "at the end of the program": "",
    "after the client is deleted": "del client",
    "by sys.exit": "sys.exit(0)",
    "by an exception": "raise SystemExit(0) from ValueError()",
    "with a reference in a cycle": "cycle = [client]; cycle.append(cycle)",
    "with a daemon thread in a flush": "import threading\nthreading.Thread(target=client.flush, daemon=True).start()",
    "by os._exit": "import os; os._exit(0)",
    "by a signal": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
}


@pytest.mark.parametrize("how", ENDS)
def test_an_interpreter_that_ends_waits_for_nothing_and_loses_nothing(api, spool, how):
    api.set("faults", faults=[STUCK])
    run = subprocess.run(program(api.options(str(spool)), ENDS[how]), capture_output=True)
    assert api.ledger()["accepted_events"] == 0
    code = -signal.SIGKILL if how == "by a signal" else 0
    assert (run.returncode, run.stdout, run.stderr) == (code, b"", b"")
    assert_delivered_later(api, spool)


def test_a_client_that_is_deleted_in_a_thread_does_not_wait_either(api, spool):
    api.set("faults", faults=[STUCK])
    body = """
import threading
from functools import partial
held = [client]
del client
thread = threading.Thread(target=held.clear)
thread.start()
thread.join()
print("deleted", flush=True)
"""
    process = subprocess.Popen(program(api.options(str(spool)), body), stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"deleted\n"
    assert api.ledger()["accepted_events"] == 0
    assert (process.communicate()[0], process.returncode) == (b"", 0)
    assert_delivered_later(api, spool)


def test_a_client_may_be_closed_at_exit(api, spool):
    body = "import atexit; atexit.register(lambda: print(client.flush(30).pending, client.close()))"
    run = subprocess.run(program(api.options(str(spool), role="enqueue"), body), capture_output=True)
    assert (run.returncode, run.stdout[:2], run.stderr) == (0, b"0 ", b"")
    assert api.arrived() == {"u": [0]}


def test_control_c_ends_a_flush_at_once(api, spool):
    api.set("faults", faults=[STUCK])
    # Only the flush sends; so when a request is there, it waits.
    command = program(api.options(str(spool), role="enqueue"), "client.flush(60)")
    # A job in the background of a shell ignores the signal, and so would what it starts.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, preexec_fn=heed)
    until("the request", lambda: api.ledger()["requests"])
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert api.ledger()["accepted_events"] == 0
    assert b"KeyboardInterrupt" in said
    assert_delivered_later(api, spool)


def test_other_threads_run_while_one_waits(api, spool):
    """The GIL is not held in a call that waits: a flush of another thread waits, and this one enqueues."""
    api.set("faults", faults=[{"fault": "delay", "ms": 4_000, "count": 1}])
    client = meditopia.Client(**api.options(spool, role="enqueue"))
    event(client)
    waits = threading.Thread(target=client.flush, args=(PATIENCE_S,))
    waits.start()
    until("the request of the flush", lambda: api.ledger()["requests"])
    for _ in range(100):
        event(client)
    assert client.stats.enqueued == 101
    assert api.ledger()["accepted_events"] == 0 and waits.is_alive()
    waits.join()
    client.close()
