"""Appends events to a file under a lock, the cheapest way of Python's own that outlives the process: one `write` each.

    python3 enqueue_append.py DIRECTORY EVENTS
"""

import json
import sys
from fcntl import LOCK_EX, LOCK_UN, flock

from loop import EVENT, report

if __name__ == "__main__":
    directory, events = sys.argv[1:]
    file = open(f"{directory}/events.ndjson", "ab", buffering=0)

    def append(token: str, user: str, event: str, value: str) -> None:
        line = json.dumps({"token": token, "partner_user_id": user, "event": event, "event_value": value})
        flock(file, LOCK_EX)
        try:
            file.write(line.encode() + b"\n")
        finally:
            flock(file, LOCK_UN)

    report(lambda: append(*EVENT), int(events))
