"""Logs events to a file: one record of `logging.FileHandler` for each, with the time in front.

    python3 enqueue_logging.py DIRECTORY EVENTS
"""

import logging
import sys

from loop import EVENT, report

if __name__ == "__main__":
    directory, events = sys.argv[1:]
    handler = logging.FileHandler(f"{directory}/events.log")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger = logging.getLogger("events")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    report(lambda: logger.info("token=%s user=%s event=%s value=%s", *EVENT), int(events))
