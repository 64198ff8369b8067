"""A client that delivers nothing: for development, tests and machines without the library.

Events are checked by the library's own rules where it is there. It is asked by an `enqueue_json` whose last event is
empty: of one call all events are queued or none, so nothing ever is, and the error says whether the last was the only
bad one. For that the library has to have a spool; its directory is gone before the first event comes.

Where there is no library, the few rules that stand here are checked.
"""

from __future__ import annotations

import json
import tempfile
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional

from . import _abi
from ._config import open_client
from ._errors import ClosedError, InvalidEvent, LibraryError, MeditopiaError
from ._event import Event, EventLike, EventType, json_of, json_of_one, relocated
from ._library import Library, load
from ._log import logger
from ._records import Report, SenderSeen, Stats
from ._wait import timeout_ms

_said = threading.Event()
_NAMES = ("token", "partner_user_id", "event", "event_value", "received_at")


class Check:
    """The rules for events."""

    def __init__(self, options: Mapping[str, Any], library: Any) -> None:
        self._library: Optional[Library] = None
        self._handle = 0
        try:
            found = load(library)
        except LibraryError:
            if library is not None:
                raise
            return
        rules = {name: options[name] for name in ("max_event_bytes", "utc_offset") if options.get(name) is not None}
        with tempfile.TemporaryDirectory(prefix="meditopia-disabled-") as directory:
            rules = {**rules, "spool": str(Path(directory) / "spool"), "role": "enqueue", "log_level": "off"}
            self._handle = open_client(found, rules, None, False)["handle"]
        self._library = found

    def __call__(self, text: bytes, events: int) -> None:
        """Raises what an enqueue of this JSON array would, with the index in it."""
        if self._library is None:
            return _check_here(json.loads(text))
        asked = text[:-1] + (b",{}]" if events else b"{}]")
        try:
            self._library.count("enqueue_json", self._handle, asked, len(asked))
        except MeditopiaError as error:
            if error.event_index != events:
                raise

    def __del__(self) -> None:
        if self._handle and self._library is not None:
            self._library.client_free(self._handle)


def _check_here(events: List[Dict[str, Any]]) -> None:
    known = [each.value for each in EventType]
    for number, event in enumerate(events):
        problem = ""
        for name in ("token", "partner_user_id", "event"):
            if name not in event:
                problem = problem or f"{name}: is missing"
            elif not isinstance(event[name], str) or not event[name]:
                problem = problem or f"{name}: is empty"
        for name in event:
            if name not in _NAMES:
                problem = problem or f'unknown member "{name}"'
        if not problem and event["event"] not in known:
            problem = f"event: \"{event['event']}\" is not one of {', '.join(known)}"
        if problem:
            raise InvalidEvent(f"{problem} (event {number} of {len(events)}; none was queued)", event_index=number)


class Disabled:
    """What `Client.disabled` does instead, mixed into a `Client`."""

    _closed = False

    def _disable(self, options: Mapping[str, Any], library: Any) -> None:
        self._check = Check(options, library)
        self._enqueued = 0
        self._counting = threading.Lock()
        if not _said.is_set():
            _said.set()
            logger.warning("meditopia is disabled in this process: events are checked, and none is queued or delivered")

    def __repr__(self) -> str:
        return f"<meditopia.{type(self).__name__} disabled>"

    def enqueue(
        self, *, token: Any, partner_user_id: Any, event: str, event_value: Any = None, received_at: Any = None
    ) -> None:
        """Checks one event."""
        self._require_open()
        made = Event(token, partner_user_id, event, event_value, received_at)
        text = b"[" + json_of_one(made) + b"]"
        try:
            self._check(text, 1)
        except MeditopiaError as error:
            details = {**error.__dict__, "event_index": None}
            raise type(error)(str(error).rpartition(" (event ")[0] or str(error), **details) from None
        self._took([made], text)

    def _enqueue_json(self, events: List[EventLike], first: int, queued: int) -> int:
        self._require_open()
        text = json_of(events, first, queued)
        try:
            self._check(text, len(events))
        except MeditopiaError as error:
            raise relocated(error, first, queued) from None
        self._took(events, text)
        return queued + len(events)

    def _took(self, events: List[EventLike], text: bytes) -> None:
        with self._counting:
            self._enqueued += len(events)

    def _reported(self, name: str, timeout: Any) -> Report:
        timeout_ms(timeout)
        if name == "client_close":
            self._closed = True
        else:
            self._require_open()
        return Report.of(_abi.sized(_abi.Report))

    def set_bearer_token(self, bearer_token: str) -> None:
        """Does nothing."""

    @property
    def stats(self) -> Stats:
        """All 0, but for what was enqueued here."""
        raw = _abi.sized(_abi.Stats)
        raw.enqueued = self._enqueued
        return Stats.of(raw)

    def sender_seen(self) -> SenderSeen:
        """Never, and nothing waits."""
        return SenderSeen(None, False)

    def metrics(self) -> str:
        """No metrics."""
        return ""

    def stats_json(self) -> str:
        """An empty object."""
        return "{}"

    def _call(self, name: str, *arguments: Any) -> None:
        self._require_open()

    def _count(self, name: str, *arguments: Any) -> int:
        self._require_open()
        return 0

    def _rows(self, name: str, *arguments: Any) -> Iterator[Any]:
        self._require_open()
        return iter(())

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError("the client was closed")
