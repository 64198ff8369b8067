"""Segment's client, in memory: deliver_segment.py ORIGIN EVENTS

Its queue drops what does not fit, so it has room for all events. Not compressed, as is its default.
"""

import sys

from segment.analytics.client import Client

from delivery import BATCH, EVENT, VALUE, measure

ORIGIN, EVENTS = sys.argv[1:]

client = Client("bench", host=ORIGIN, max_queue_size=int(EVENTS), upload_size=BATCH)


def enqueue(token, user):
    client.track(user, EVENT, {"token": token, "value": VALUE})


measure(int(EVENTS), enqueue, client.flush)
client.join()
