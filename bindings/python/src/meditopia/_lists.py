"""The lists: events that were rejected, that are in doubt and that wait, and receipts of what was delivered."""

from __future__ import annotations

import os
from ctypes import byref, c_int64
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Optional, Union

from . import _abi
from ._errors import InvalidArgument
from ._library import c_text
from ._records import EPOCH, Reason, Receipt, Row

if TYPE_CHECKING:
    from ._client import Client


class Rejected:
    """The rejected, expired and set-aside events of a spool, oldest first: all, or those that a filter takes.

    Looks into the store each time that it is iterated; it may be kept as long as you like.
    """

    def __init__(self, client: Client, filter: Optional[Any] = None) -> None:
        self._client = client
        self._filter = filter if filter is not None else _abi.sized(_abi.Filter)
        self._narrowed = filter is not None

    def __call__(
        self,
        *,
        partner_user_id: Optional[str] = None,
        api_code: Optional[str] = None,
        reason: Optional[Reason] = None,
        since: Optional[datetime] = None,
        until: Optional[datetime] = None,
        after_id: int = 0,
    ) -> Rejected:
        """Those of this user, code and reason, rejected in [since, until), with a greater id: all must hold."""
        chosen = _abi.sized(_abi.Filter)
        chosen.partner_user_id = _optional("partner_user_id", partner_user_id)
        chosen.api_code = _optional("api_code", api_code)
        chosen.reason = 0 if reason is None else int(reason)
        chosen.from_ms = _milliseconds("since", since)
        chosen.until_ms = _milliseconds("until", until)
        if until is not None and chosen.until_ms == 0:
            # 0 would ask for no end at all; nothing was rejected before 1970 either.
            chosen.until_ms = -1
        chosen.after_id = after_id
        return Rejected(self._client, chosen)

    def __iter__(self) -> Iterator[Row]:
        return map(Row.of, self._client._rows("rejected", byref(self._filter)))

    def requeue(self, ids: Optional[Iterable[int]] = None) -> int:
        """Sends these events again, at the end of what waits; without ids all that the filter takes. Says how many."""
        return self._change("rejected_requeue", ids)

    def discard(self, ids: Optional[Iterable[int]] = None) -> int:
        """Forgets these events for ever; without ids all that the filter takes. Says how many."""
        return self._change("rejected_discard", ids)

    def export(self, path: Union[str, os.PathLike[str]]) -> int:
        """Writes them to a new file, a JSON object a line. They stay in the list. Says how many."""
        return self._client._count("rejected_export", byref(self._filter), c_text("path", os.fspath(path)))

    def _change(self, name: str, ids: Optional[Iterable[int]]) -> int:
        if ids is None:
            return self._client._count(f"{name}_matching", byref(self._filter))
        if self._narrowed:
            raise InvalidArgument("ids: a filter is set already; call this on client.rejected itself")
        return change(self._client, name, ids)


class InDoubt:
    """The events that were sent while no answer has settled whether they arrived, oldest first.

    They are repeated before anything else; nothing has to be done.
    """

    def __init__(self, client: Client, after_id: int = 0) -> None:
        self._client = client
        self._after_id = after_id

    def __call__(self, *, after_id: int = 0) -> InDoubt:
        """Those with a greater id."""
        return InDoubt(self._client, after_id)

    def __iter__(self) -> Iterator[Row]:
        return map(Row.of, self._client._rows("in_doubt", self._after_id))

    def set_aside(self, ids: Iterable[int]) -> int:
        """Takes events out of their batch, to the rejected, so that the rest of it can go. Says how many."""
        return change(self._client, "in_doubt_set_aside", ids)


class Pending:
    """The events that wait, oldest first: those that a sender has taken over, then the others."""

    def __init__(self, client: Client, partner_user_id: Optional[str] = None, after_id: int = 0) -> None:
        self._client = client
        self._user = _optional("partner_user_id", partner_user_id)
        self._after_id = after_id

    def __call__(self, *, partner_user_id: Optional[str] = None, after_id: int = 0) -> Pending:
        """Those of this user, with a greater id."""
        return Pending(self._client, partner_user_id, after_id)

    def __iter__(self) -> Iterator[Row]:
        return map(Row.of, self._client._rows("pending", self._user, self._after_id))


class Receipts:
    """The requests that the API accepted, oldest first: where the events of a user are."""

    def __init__(
        self,
        client: Client,
        partner_user_id: Optional[str] = None,
        since: Optional[datetime] = None,
        until: Optional[datetime] = None,
        after_id: int = 0,
    ) -> None:
        self._client = client
        self._user = _optional("partner_user_id", partner_user_id)
        self._since, self._until = _milliseconds("since", since), _milliseconds("until", until)
        if until is not None and self._until == 0:
            self._until = -1
        self._after_id = after_id

    def __call__(
        self,
        *,
        partner_user_id: Optional[str] = None,
        since: Optional[datetime] = None,
        until: Optional[datetime] = None,
        after_id: int = 0,
    ) -> Receipts:
        """Those with an event of this user, of a time in [since, until), with a greater id: all must hold."""
        return Receipts(self._client, partner_user_id, since, until, after_id)

    def __iter__(self) -> Iterator[Receipt]:
        return map(Receipt.of, self._client._rows("receipts", self._user, self._since, self._until, self._after_id))


def change(client: Client, name: str, ids: Iterable[int]) -> int:
    listed = list(ids)
    return client._count(name, (c_int64 * len(listed))(*listed), len(listed))


def _optional(name: str, text: Optional[str]) -> Optional[bytes]:
    return None if text is None else c_text(name, text)


def _milliseconds(name: str, time: Optional[datetime]) -> int:
    """A time of a filter, where 0 asks for nothing."""
    if time is None:
        return 0
    if not isinstance(time, datetime):
        raise InvalidArgument(f"{name}: is not a datetime but a {type(time).__name__}")
    if time.utcoffset() is None:
        raise InvalidArgument(f"{name}: {time!r} has no time zone; give it one, such as timezone.utc")
    return (time - EPOCH) // timedelta(milliseconds=1)
