"""What the real servers run: a WSGI application that writes down each event that was acknowledged."""

import os
import threading

import meditopia

OPTIONS = {
    "spool": os.environ["SPOOL"],
    "endpoint": os.environ["ENDPOINT"],
    "bearer_token": os.environ["TOKEN"],
    "role": os.environ.get("ROLE", "both"),
    "flush_interval_ms": 50,
}

#: Opened when this module is imported: in the master, before it forks.
client = meditopia.Client(**OPTIONS)
_acknowledged = os.open(os.environ["ACKNOWLEDGED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
_numbers = {}


def enqueue():
    """The next event of this thread of this process, a user of its own."""
    user = f"{os.getpid()}-{threading.get_native_id()}"
    number = _numbers.get(user, 0)
    client.enqueue(token="t", partner_user_id=user, event="video", event_value=str(number))
    os.write(_acknowledged, f"{user} {number}\n".encode())
    _numbers[user] = number + 1


def held():
    """Memory in KiB, descriptors and threads of this process."""
    with open("/proc/self/statm") as statm:
        resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    return resident, len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))


def application(environ, start_response):
    if environ["PATH_INFO"] == "/held":
        body = "{} {} {} {}".format(os.getpid(), *held()).encode()
    else:
        enqueue()
        body = b"queued"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
