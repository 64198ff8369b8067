"""PostHog's client, in memory: deliver_posthog.py ORIGIN EVENTS

Its queue drops what does not fit, so it has room for all events. Not compressed, as is its default.
"""

import sys

from posthog import Posthog

from delivery import BATCH, EVENT, VALUE, measure

ORIGIN, EVENTS = sys.argv[1:]

client = Posthog("bench", host=ORIGIN, max_queue_size=int(EVENTS), flush_at=BATCH)


def enqueue(token, user):
    client.capture(EVENT, distinct_id=user, properties={"token": token, "value": VALUE})


measure(int(EVENTS), enqueue, client.flush)
client.shutdown()
