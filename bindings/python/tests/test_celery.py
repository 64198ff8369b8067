"""celery with prefork workers: the client is opened in the master, when it imports the tasks."""

import os
import subprocess
import sys

from local_api import PATIENCE_S, until
from servers import HERE

TASKS = 200
COMMAND = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool=prefork", "--concurrency=4"]
COMMAND += ["--loglevel=warning", "--without-gossip", "--without-mingle", "--without-heartbeat"]


def test_celery_prefork_workers_deliver_and_lose_nothing(serve, tmp_path):
    broker = {"BROKER": str(tmp_path / "broker")}
    os.makedirs(broker["BROKER"])
    os.makedirs(broker["BROKER"] + "-control")
    server = serve(COMMAND, C_FORCE_ROOT="1", **broker)

    # Who orders tasks imports them as well, and has a client of its own, which does nothing.
    order = f"import tasks\nfor _ in range({TASKS}): tasks.report.delay()"
    environment = {**os.environ, **broker, "PYTHONPATH": str(HERE), "ENDPOINT": "http://127.0.0.1:9/", "TOKEN": "t"}
    environment.update(SPOOL=str(tmp_path / "other"), ACKNOWLEDGED=str(tmp_path / "none"))
    subprocess.run([sys.executable, "-c", order], env=environment, cwd=HERE, check=True, timeout=PATIENCE_S)

    until(f"{TASKS} tasks", lambda: server.total() == TASKS)
    server.wait_until_all_is_delivered()
    server.stop()
    assert server.assert_all_arrived() == TASKS
    assert len(server.acknowledged()) > 1
