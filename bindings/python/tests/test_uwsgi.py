"""uWSGI, with and without Python's threads: delivery does not run in one."""

import os
import sys

import pytest
from servers import load

COMMAND = [os.environ["MEDITOPIA_UWSGI"], "--http-socket=127.0.0.1:0", "--master", "--processes=4", "--die-on-term"]
COMMAND += ["--need-app", "--disable-logging", "--wsgi-file=hosts.py"]
LISTENS = r"bound to TCP address 127\.0\.0\.1:(\d+)"


@pytest.mark.parametrize("threads", [[], ["--enable-threads", "--threads=2"]], ids=["without threads", "with threads"])
def test_uwsgi_workers_deliver_and_lose_nothing(serve, threads):
    paths = [f"--pythonpath={path}" for path in sys.path if path]
    server = serve([*COMMAND, *threads, *paths])
    load(server.port(LISTENS), 800, kept=False)
    server.wait_until_all_is_delivered()
    server.stop()
    assert server.assert_all_arrived() == 800, server.said()
