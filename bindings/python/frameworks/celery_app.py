"""celery: `celery -A celery_app worker`. Each worker process delivers what waits when it ends."""

from celery import Celery
from celery.signals import worker_process_shutdown
from events import deliver_the_rest, report

app = Celery("celery_app")
app.config_from_envvar("CELERY_CONFIG", silent=True)
worker_process_shutdown.connect(lambda **_: deliver_the_rest(), weak=False)


@app.task
def watched(user: str, value: str) -> bool:
    return report("token-" + user, user, "video", value)
