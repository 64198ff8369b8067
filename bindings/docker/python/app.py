"""Queues an event for each request. The container `sender` delivers."""

from flask import Flask
from meditopia import Client

app = Flask(__name__)
# The spool is MEDITOPIA_SPOOL. With this role no worker sends, so that none needs the bearer token.
meditopia = Client(from_env=True, role="enqueue")


@app.get("/")
def watched():
    meditopia.enqueue(token="user-token-1", partner_user_id="user-1", event="video", event_value="morning calm")
    return {"queued": True}
