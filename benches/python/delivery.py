"""What the Python deliverers have in common: the events, and how the CPU is counted.

Counted is the CPU of the whole process, all threads, from before the first event to the answer to the last
one. Starting Python and importing the client are not in it: some import for half a second.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

USERS = 10_000
BATCH = 100
EVENT = "video"
VALUE = "morning calm"

#: Made before anything is counted, as a host has its users at hand.
TOKENS = [f"user-token-{user:011d}" for user in range(USERS)]
USER_IDS = [f"user-{user:07d}" for user in range(USERS)]


def measure(events: int, enqueue: Callable[[str, str], object], flush: Callable[[], object]) -> None:
    """Calls `enqueue(token, user_id)` for each event, then `flush`; prints a JSON object."""
    began = time.process_time()
    for number in range(events):
        user = number * 7919 % USERS
        enqueue(TOKENS[user], USER_IDS[user])
    flush()
    used = time.process_time() - began
    print(json.dumps({"cpu_us_per_event": used * 1e6 / events}))
