"""Queues a few events and waits for their delivery. With a local API around it:

MEDITOPIA_SPOOL=my-spool meditopia sandbox --unknown-user user-3 -- python3 quickstart.py
"""

from datetime import datetime, timezone

from meditopia import Client, EventType, MeditopiaError

with Client(from_env=True) as client:
    client.enqueue(token="token-1", partner_user_id="user-1", event=EventType.SIGNIN)
    client.enqueue(token="token-2", partner_user_id="user-2", event="video", event_value="morning calm")
    now = datetime.now(timezone.utc)
    events = [
        {"token": "token-3", "partner_user_id": f"user-{n}", "event": "audio", "received_at": now} for n in range(3, 6)
    ]
    client.enqueue_many(events)
    try:
        client.flush(30)
    except MeditopiaError as error:
        print(f"not all is delivered yet: {error}")
    for row in client.rejected:
        print(f"rejected: {row.event['partner_user_id']}, {row.api_code} {row.message}")
    print(f"delivered {client.stats.delivered}, rejected {client.stats.rejected}, pending {client.stats.pending}")
