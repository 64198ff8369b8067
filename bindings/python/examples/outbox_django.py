"""An outbox for Django with PostgreSQL: an event is queued in the transaction of the change that it is about.

Copy this module into your project. It needs neither the library nor a disk: ``meditopia.enqueue`` is a function of the
database (docs/fleet.md). The database user of the application needs the role meditopia_enqueue::

    with transaction.atomic():
        user.save()
        enqueue(user.token, user.pk, "register")
"""

from django.db import connections
from django.db.transaction import TransactionManagementError


def enqueue(token, partner_user_id, event, event_value=None, received_at=None, using="default"):
    """Queues an event: delivered if the transaction is committed, and never known if it is rolled back.

    ``received_at`` is an aware datetime; without it, the event is of now.
    """
    time = None if received_at is None else received_at.isoformat()
    _call("meditopia.enqueue(%s, %s, %s, %s, %s)", [token, partner_user_id, event, event_value, time], using)


def enqueue_all(events, using="default"):
    """Queues many events in one statement, all or none: tuples of token, partner_user_id, event and event_value."""
    columns = [list(column) for column in zip(*events, strict=True)]
    if columns:
        _call("meditopia.enqueue_batch(%s::text[], %s::text[], %s::text[], %s::text[])", columns, using)


def _call(function, values, using):
    connection = connections[using]
    if not connection.in_atomic_block:
        raise TransactionManagementError("an event belongs into the transaction of its change: call this within atomic()")
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}", values)
