"""A loop as one writes it for a nightly file, with Segment's client: import_segment.py ORIGIN FILE

Its queue keeps 10,000 events, as is its default, and refuses more; then the loop waits until it is empty.
What was not sent when the process dies is lost, and what was is sent again by the next start.
"""

import csv
import json
import sys
import time

from segment.analytics.client import Client

ORIGIN, FILE = sys.argv[1:]

began = time.monotonic()
client = Client("bench", host=ORIGIN, upload_size=100)
with open(FILE, newline="") as file:
    for row in csv.DictReader(file):
        properties = {"token": row["token"], "value": row["event_value"]}
        while not client.track(row["partner_user_id"], row["event"], properties)[0]:
            client.flush()
client.flush()
client.join()
print(json.dumps({"seconds": time.monotonic() - began}))
