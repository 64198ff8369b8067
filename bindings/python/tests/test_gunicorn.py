"""gunicorn with --preload: the client is opened in the master, and its workers go on with it."""

import os
import signal
import sys

from servers import held, load, warm_up

#: The long run has 100,000.
REQUESTS = int(os.environ.get("MEDITOPIA_REQUESTS", "10000"))
WORKERS = 4
GROWTH_KIB = 2048

COMMAND = [sys.executable, "-m", "gunicorn", "--preload", f"--workers={WORKERS}", "--bind=127.0.0.1:0"]
#: A worker beats in a file; a disk that is slow just now must not look like a worker that hangs.
COMMAND += ["--worker-tmp-dir=/dev/shm", "--timeout=120", "hosts:application"]
LISTENS = r"Listening at: http://127\.0\.0\.1:(\d+)"


def test_gunicorn_preload_with_four_workers_loses_nothing_and_leaks_nothing(api, serve):
    server = serve([*COMMAND, "--worker-class=gthread", "--threads=2"])
    port = server.port(LISTENS)
    warm_up(port, server, threads=2 * WORKERS)
    warm, before = server.total(), held(port, WORKERS)
    load(port, REQUESTS)
    after = held(port, WORKERS)
    server.wait_until_all_is_delivered()
    assert server.stop() == 0, server.said()

    assert server.assert_all_arrived() == warm + REQUESTS == api.ledger()["accepted_events"]
    assert before.keys() == after.keys()
    growth = sorted([new - old for new, old in zip(after[pid], before[pid])] for pid in after)
    print(f"gunicorn: {warm} and {REQUESTS} requests, users: {len(server.acknowledged())};", end=" ")
    print("KiB, descriptors and threads of a worker, warm:", sorted(before.values()), "and more after it:", growth)
    # One descriptor: the sender's connection to the API may be open or not.
    assert all(kib <= GROWTH_KIB and files <= 1 and threads <= 0 for kib, files, threads in growth), growth


def test_gunicorn_workers_that_are_recycled_and_reloaded_under_load_lose_nothing(serve):
    server = serve([*COMMAND, "--max-requests=50"])
    port = server.port(LISTENS)
    load(port, 400)
    server.process.send_signal(signal.SIGHUP)
    load(port, 400)
    assert server.stop() == 0, server.said()
    assert server.assert_all_arrived() == 800
    assert len(server.acknowledged()) > 2 * WORKERS
