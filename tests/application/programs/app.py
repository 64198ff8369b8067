"""A WSGI application that enqueues an event for each request; loaded before gunicorn forks."""

import os

import meditopia

client = meditopia.Client(
    os.environ["LIBRARY"], os.environ["CONFIG"], os.environ["ACKNOWLEDGED"]
)
if os.environ["MASTER_ENQUEUES"] == "1":
    client.enqueue()


def application(environ, start_response):
    client.enqueue()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
