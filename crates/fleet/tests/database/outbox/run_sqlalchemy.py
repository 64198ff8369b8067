"""The outbox of SQLAlchemy in transactions that are committed and rolled back. PG* variables name the database."""

import contextlib

import outbox_sqlalchemy
from changes import changes
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

engine = create_engine("postgresql+psycopg://", hide_parameters=True)
sessions = []


@contextlib.contextmanager
def transaction():
    """A savepoint within another one."""
    if sessions:
        with sessions[-1].begin_nested():
            yield sessions[-1]
        return
    with Session(engine) as session, session.begin():
        sessions.append(session)
        try:
            yield session
        finally:
            sessions.pop()


def insert(session, user):
    session.execute(text("INSERT INTO shop_user (id) VALUES (:id)"), {"id": user})


changes(transaction, insert, outbox_sqlalchemy.enqueue, outbox_sqlalchemy.enqueue_all)
