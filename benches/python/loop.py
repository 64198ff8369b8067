"""The loop that every contender of `enqueue_*.py` is measured in, and the event that they enqueue."""

import json
from collections.abc import Callable
from time import perf_counter_ns

#: Token, user, event and value.
EVENT = ("user-token-00000007919", "user-0104729", "video", "morning calm")


def report(enqueue: Callable[[], None], events: int) -> None:
    """Calls it once for each event, a twentieth before that to warm up, and prints what one took."""
    for _ in range(events // 20):
        enqueue()
    start = perf_counter_ns()
    for _ in range(events):
        enqueue()
    print(json.dumps({"ns_per_event": (perf_counter_ns() - start) / events}))
