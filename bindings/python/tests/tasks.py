"""A celery application whose tasks enqueue: the client is opened when the master imports this."""

import os

import hosts
from celery import Celery

app = Celery("tasks", broker="filesystem://")
app.conf.update(
    broker_transport_options={
        "data_folder_in": os.environ["BROKER"],
        "data_folder_out": os.environ["BROKER"],
        "control_folder": os.environ["BROKER"] + "-control",
    },
    task_ignore_result=True,
    worker_prefetch_multiplier=8,
)


@app.task
def report():
    hosts.enqueue()
