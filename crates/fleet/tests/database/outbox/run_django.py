"""The outbox of Django in transactions that are committed and rolled back. PG* variables name the database."""

import os

import django
from changes import changes
from django.conf import settings

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": os.environ["PGHOST"],
            "PORT": os.environ["PGPORT"],
            "NAME": os.environ["PGDATABASE"],
            "USER": os.environ["PGUSER"],
        }
    }
)
django.setup()

import outbox_django  # noqa: E402
from django.db import connection, transaction  # noqa: E402


def insert(_, user):
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO shop_user (id) VALUES (%s)", [user])


def enqueue(_, *fields):
    outbox_django.enqueue(*fields)


def enqueue_all(_, events):
    outbox_django.enqueue_all(events)


changes(transaction.atomic, insert, enqueue, enqueue_all)
try:
    outbox_django.enqueue("t", "outside", "video")
except transaction.TransactionManagementError:
    pass
else:
    raise AssertionError("an event was queued outside of a transaction")
