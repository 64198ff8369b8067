"""Python's multiprocessing with fork: pool.py LIBRARY CONFIG ACKNOWLEDGED PROCESSES EVENTS

The client is opened and used before the fork. Every third process is killed in the middle of its events;
the others flush."""

import multiprocessing
import os
import signal
import sys

import meditopia

AT_ONCE = 4


def work(client, events, killed_at):
    for number in range(events):
        if number == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        client.enqueue()
    client.flush()


def main():
    client = meditopia.Client(*sys.argv[1:4])
    processes, events = int(sys.argv[4]), int(sys.argv[5])
    fork = multiprocessing.get_context("fork")
    client.enqueue()
    for start in range(0, processes, AT_ONCE):
        batch = []
        for index in range(start, min(start + AT_ONCE, processes)):
            killed_at = events * (index % 7 + 1) // 8 if index % 3 == 2 else None
            process = fork.Process(target=work, args=(client, events, killed_at))
            process.start()
            batch.append((process, -signal.SIGKILL if killed_at is not None else 0))
        client.enqueue()
        for process, expected in batch:
            process.join()
            assert process.exitcode == expected, process.exitcode


main()
