"""Processes that share a spool: forked with an open client, or spawned with one of their own."""

import multiprocessing
import os
import subprocess
import sys

import pytest
from local_api import PATIENCE_S
from test_pythons import found, install

import meditopia

EVENTS = 300


def enqueue(client, user, end=EVENTS):
    for number in range(end):
        client.enqueue(token="t", partner_user_id=user, event="video", event_value=str(number))


def work_forked(client, user):
    enqueue(client, user)


def work_spawned(options, user):
    with meditopia.Client(**options) as client:
        enqueue(client, user)


def run(context, target, first, users):
    processes = [context.Process(target=target, args=(first, user)) for user in users]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * len(processes)


@pytest.mark.parametrize("sends_before", [False, True], ids=["before the first enqueue", "while the parent sends"])
def test_forked_processes_go_on_with_the_client_of_their_parent(api, spool, sends_before):
    with meditopia.Client(**api.options(spool)) as client:
        users = [f"child-{number}" for number in range(4)]
        if sends_before:
            enqueue(client, "parent")
        run(multiprocessing.get_context("fork"), work_forked, client, users)
        report = client.flush(60)
    assert report.pending == 0
    expected = users + ["parent"] * sends_before
    assert api.arrived() == {user: list(range(EVENTS)) for user in expected}


def test_spawned_processes_open_their_own(api, spool):
    options = api.options(str(spool))
    users = [f"child-{number}" for number in range(3)]
    run(multiprocessing.get_context("spawn"), work_spawned, options, users)
    with meditopia.Client(**options) as client:
        client.flush(60)
    assert api.arrived() == {user: list(range(EVENTS)) for user in users}


def test_a_fork_while_threads_enqueue_and_log_harms_neither_side(api, spool):
    """In a program of its own, because it forks with threads at work."""
    code = f"""
import logging, os, threading, meditopia
logging.basicConfig(level=logging.DEBUG, filename={str(spool) + ".log"!r})
client = meditopia.Client(**{api.options(str(spool), log_level="debug")!r})
stop = threading.Event()
def enqueue(user, events):
    for number in range(events):
        client.enqueue(token="t", partner_user_id=user, event="video", event_value=str(number))
        client.poll_log()
threads = [threading.Thread(target=enqueue, args=(f"parent-{{index}}", 1000)) for index in range(3)]
for thread in threads: thread.start()
children = []
for index in range(10):
    pid = os.fork()
    if pid == 0:
        enqueue(f"child-{{index}}", 50)
        os._exit(0)
    children.append(pid)
assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 10
for thread in threads: thread.join()
assert client.flush(60).pending == 0
"""
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stderr) == (0, "")
    arrived = api.arrived()
    assert arrived == {
        **{f"parent-{index}": list(range(1000)) for index in range(3)},
        **{f"child-{index}": list(range(50)) for index in range(10)},
    }


@pytest.mark.parametrize("parent_lives", [True, False], ids=["while its parent sends", "after its parent has ended"])
def test_a_child_of_a_sender_flushes_and_lists(api, spool, parent_lives):
    """In a program of its own, because the parent ends."""
    code = f"""
import os, meditopia
client = meditopia.Client(**{api.options(str(spool))!r})
client.enqueue(token="t", partner_user_id="u", event="video", event_value="0")
client.flush(30)
client.enqueue(token="t", partner_user_id="u", event="video", event_value="1")
pid = os.fork()
if pid == 0:
    client.enqueue(token="t", partner_user_id="child", event="video", event_value="0")
    assert client.flush(60).pending == 0
    assert list(client.rejected) == []
    os._exit(0)
if not {parent_lives}:
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
client.close()
"""
    # The output ends when the child has ended.
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stderr) == (0, "")
    assert api.arrived() == {"u": [0, 1], "child": [0]}


FORKS = """
import os, warnings, meditopia
warnings.simplefilter("always")
client = meditopia.Client(**{options!r})
{before}
pid = os.fork()
if pid == 0:
    client.enqueue(token="t", partner_user_id="child", event="video", event_value="0")
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
"""
#: The threads of a flush end after it, in their own time.
ALONE = "[None for _ in iter(lambda: len(os.listdir('/proc/self/task')), 1)]"
ENQUEUE = 'client.enqueue(token="t", partner_user_id="u", event="video", event_value="0")'


@pytest.mark.parametrize("minor", [12, 13])
@pytest.mark.parametrize(
    "role, before, warns",
    [
        ("both", "", False),
        ("enqueue", ENQUEUE, False),
        ("enqueue", f"{ENQUEUE}; client.flush(30); {ALONE}", False),
        ("both", ENQUEUE, True),
    ],
)
def test_python_warns_of_a_fork_only_where_the_process_sends(api, spool, tmp_path, minor, role, before, warns):
    """From 3.12 on: it counts the threads of the library, too, which are there for what sends."""
    python = found(minor)
    if python is None:
        pytest.skip(f"no Python 3.{minor} here")
    assert install(python, tmp_path / "site")[0] == 0
    code = FORKS.format(options=api.options(str(spool), role=role), before=before)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    run = subprocess.run([python, "-c", code], env=environment, capture_output=True, text=True, timeout=PATIENCE_S)
    assert run.returncode == 0, run.stderr
    assert ("is multi-threaded, use of fork() may lead to deadlocks" in run.stderr) == warns, run.stderr
    with meditopia.Client(**api.options(spool)) as client:
        assert client.flush(60).pending == 0
    assert api.arrived()["child"] == [0]
