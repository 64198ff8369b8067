"""What an application needs of a client, for its type annotations and its doubles."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Iterable, Protocol, Union, runtime_checkable

from ._event import EventLike, Id
from ._records import Report, Stats


@runtime_checkable
class ClientLike(Protocol):
    """`Client`, `Client.disabled()` and `testing.RecordingClient` are one; so may be a class of yours."""

    def enqueue(
        self,
        *,
        token: Id,
        partner_user_id: Id,
        event: str,
        event_value: Any = None,
        received_at: Union[datetime, str, None] = None,
    ) -> None: ...

    def enqueue_many(self, events: Iterable[EventLike]) -> int: ...

    def flush(self, timeout: Any = 30.0) -> Report: ...

    def close(self, timeout: Any = 30.0) -> Report: ...

    @property
    def stats(self) -> Stats: ...

    async def aenqueue(
        self,
        *,
        token: Id,
        partner_user_id: Id,
        event: str,
        event_value: Any = None,
        received_at: Union[datetime, str, None] = None,
    ) -> None: ...

    async def aenqueue_many(self, events: Iterable[EventLike]) -> int: ...

    async def aflush(self, timeout: Any = 30.0) -> Report: ...

    async def aclose(self, timeout: Any = 30.0) -> Report: ...
