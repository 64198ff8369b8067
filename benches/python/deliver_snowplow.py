"""Snowplow's client, in memory: deliver_snowplow.py ORIGIN EVENTS

A session, which keeps the connection; a plain emitter, which sends each hundred at once and has no threads.
"""

import logging
import sys

import requests
from snowplow_tracker import Emitter, StructuredEvent, Subject, Tracker

from delivery import BATCH, EVENT, VALUE, measure

ORIGIN, EVENTS = sys.argv[1:]
# It would log each request.
logging.getLogger("snowplow_tracker.emitters").setLevel(logging.WARNING)

emitter = Emitter(ORIGIN, batch_size=BATCH, session=requests.Session())
tracker = Tracker("bench", emitter)


def enqueue(token, user):
    tracker.track(StructuredEvent(EVENT, VALUE, label=token, event_subject=Subject().set_user_id(user)))


measure(int(EVENTS), enqueue, emitter.flush)
