"""Delivers one event to the endpoint of the environment."""

from meditopia import Client

with Client(from_env=True) as client:
    client.enqueue(token="token", partner_user_id="user", event="video")
    client.flush(20)
