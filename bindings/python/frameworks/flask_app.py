"""Flask: an event for each request. `flask --app flask_app run`, or under gunicorn or uWSGI."""

from events import report
from flask import Flask

app = Flask(__name__)


@app.get("/watched/<user>/<value>")
def watched(user: str, value: str):
    return {"queued": report("token-" + user, user, "video", value)}
