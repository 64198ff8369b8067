"""Enqueues events with the package `meditopia` of bindings/python, as an application does.

    python3 enqueue_package.py LIBRARY DIRECTORY EVENTS
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "bindings" / "python" / "src"))

from loop import EVENT, report  # noqa: E402
from meditopia import Client  # noqa: E402

if __name__ == "__main__":
    library, directory, events = sys.argv[1:]
    token, user, event, value = EVENT
    client = Client(library=library, spool=f"{directory}/spool", role="enqueue")
    report(
        lambda: client.enqueue(token=token, partner_user_id=user, event=event, event_value=value),
        int(events),
    )
