"""An outbox for SQLAlchemy with PostgreSQL: an event is queued in the transaction of the change that it is about.

Copy this module into your project. It needs neither the library nor a disk: ``meditopia.enqueue`` is a function of the
database (docs/fleet.md). The database user of the application needs the role meditopia_enqueue::

    with Session(engine) as session, session.begin():
        session.add(user)
        enqueue(session, user.token, user.id, "register")

Make the engine with ``create_engine(..., hide_parameters=True)``: otherwise the errors of SQLAlchemy show the values of
a statement, and a token is a secret of its user.
"""

from sqlalchemy import text

_ONE = text("SELECT meditopia.enqueue(:token, :partner_user_id, :event, :event_value, :received_at)")
_ALL = text(
    "SELECT meditopia.enqueue_batch(CAST(:tokens AS text[]), CAST(:users AS text[]), CAST(:events AS text[]),"
    " CAST(:event_values AS text[]))"
)


def enqueue(session, token, partner_user_id, event, event_value=None, received_at=None):
    """Queues an event: delivered if the transaction is committed, and never known if it is rolled back.

    ``session`` is a Session or a Connection. ``received_at`` is an aware datetime; without it, the event is of now.
    """
    values = {
        "token": token,
        "partner_user_id": partner_user_id,
        "event": event,
        "event_value": event_value,
        "received_at": None if received_at is None else received_at.isoformat(),
    }
    session.execute(_ONE, values)


def enqueue_all(session, events):
    """Queues many events in one statement, all or none: tuples of token, partner_user_id, event and event_value."""
    columns = [list(column) for column in zip(*events, strict=True)]
    if columns:
        session.execute(_ALL, dict(zip(("tokens", "users", "events", "event_values"), columns, strict=True)))
