"""A hundred thousand calls leave no memory, no descriptor and no thread behind."""

import json
import subprocess
import sys

GROWTH_KIB = 2048

PROGRAM = """
import gc, json, os, sys, meditopia
options = json.loads(sys.argv[1])

def held():
    gc.collect()
    with open("/proc/self/statm") as statm:
        resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    return resident, len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

def work(events):
    for number in range(events):
        client.enqueue(token="t", partner_user_id=f"u-{number % 100}", event="video", event_value=str(number))
        if number % 10 == 0:
            try:
                client.enqueue(token="t", partner_user_id="u", event="nap")
            except meditopia.InvalidEvent:
                pass
        if number % 100 == 0:
            client.enqueue(token="t", partner_user_id="u", event="video", event_value={"n": number})
            client.stats, client.metrics()
        if number % 1000 == 0:
            client.enqueue_many([meditopia.Event("t", "u", "video")] * 10)
            client.flush(60)
            next(iter(client.rejected)), list(client.in_doubt)

client = meditopia.Client(**options)
client.enqueue(token="t", partner_user_id="unknown", event="video")
client.flush(60)
work(20_000)
client.flush(60)
warm = held()
work(100_000)
client.flush(60)
print(json.dumps([warm, held()]))
"""

PROGRAM_OF_CLIENTS = """
import gc, json, os, sys, time, meditopia
options = json.loads(sys.argv[1])

def held():
    gc.collect()
    with open("/proc/self/statm") as statm:
        resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    return resident, len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

def work(clients):
    for number in range(clients):
        with meditopia.Client(**options) as client:
            client.enqueue(token="t", partner_user_id="u", event="video")
            if number % 10 == 0:
                client.flush(60)
        del client

work(30)
warm = held()
work(100)
# The threads of the last client may need a moment to end on a busy machine.
until = time.monotonic() + 20
while (end := held())[1:] > warm[1:] and time.monotonic() < until:
    time.sleep(0.01)
print(json.dumps([warm, end]))
"""


def grew(program, options):
    run = subprocess.run(
        [sys.executable, "-c", program, json.dumps(options)], capture_output=True, text=True, timeout=300
    )
    assert (run.returncode, run.stderr) == (0, "")
    warm, end = json.loads(run.stdout)
    print("warm and at the end, KiB, descriptors and threads:", warm, end)
    # What is there less is no leak: a thread may rest at the one moment and not at the other.
    return [max(0, after - before) for before, after in zip(warm, end)]


def test_a_hundred_thousand_enqueues_leave_nothing_behind(api, spool):
    api.set("users", unknown=["unknown"])
    kib, descriptors, threads = grew(PROGRAM, api.options(str(spool), log_level="off"))
    assert kib <= GROWTH_KIB and (descriptors, threads) == (0, 0)
    assert api.ledger()["accepted_events"] == 120_000 + 1_200 + 1_200


def test_a_hundred_clients_one_after_the_other_leave_nothing_behind(api, spool):
    kib, descriptors, threads = grew(PROGRAM_OF_CLIENTS, api.options(str(spool), log_level="off"))
    assert kib <= GROWTH_KIB and (descriptors, threads) == (0, 0)
    assert api.ledger()["accepted_events"] == 130
