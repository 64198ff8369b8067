"""What an application does: users register, and some transactions fail.

The program that starts this compares the table of users with the events.
"""

from datetime import datetime

NOON = datetime.fromisoformat("2024-08-06T15:04:05.250+03:00")


class Failed(Exception):
    pass


def changes(transaction, insert, enqueue, enqueue_all):
    """``transaction`` is a context manager; the others get what it yields first."""

    def register(within, user, event="register"):
        insert(within, user)
        enqueue(within, f"secret-{user}", user, event, 'a "value"', NOON)

    def fails(body):
        try:
            body()
        except Exception as failure:
            return failure
        raise AssertionError("it did not fail")

    with transaction() as within:
        register(within, "committed")

    def rolled_back():
        with transaction() as within:
            register(within, "rolled-back")
            raise Failed

    assert isinstance(fails(rolled_back), Failed)

    with transaction() as within:
        register(within, "outer")

        def inner():
            with transaction() as savepoint:
                register(savepoint, "inner")
                raise Failed

        assert isinstance(fails(inner), Failed)

    def refused():
        with transaction() as within:
            register(within, "refused", "registr")

    said = str(fails(refused))
    assert 'event: "registr" is not one of register' in said, said
    assert "secret-refused" not in said, said

    with transaction() as within:
        users = ["batch-1", "batch-2"]
        for user in users:
            insert(within, user)
        enqueue_all(within, [("t", users[0], "video", None), ("t", users[1], "video", "x")])
        enqueue_all(within, [])
