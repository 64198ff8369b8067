"""Events on their way in: what Python has becomes the JSON or the texts that the library judges.

Only what Python alone can know is judged here: a datetime without a zone, a value that is no JSON.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from enum import Enum
from typing import Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Union

from ._errors import InvalidEvent, MeditopiaError


class EventType(str, Enum):
    """What the API knows. The texts do as well."""

    REGISTER = "register"
    SIGNIN = "signin"
    AUDIO = "audio"
    VIDEO = "video"
    CONTENT = "content"


class Event(NamedTuple):
    """One event for `enqueue_many`; a mapping with these keys does as well."""

    token: str
    partner_user_id: str
    event: str
    event_value: Any = None
    received_at: Union[datetime, str, None] = None


#: What `enqueue_many` takes.
EventLike = Union[Event, Mapping[str, Any]]


def received_at_text(time: datetime) -> str:
    """A datetime as the library reads it; fractions are cut there."""
    if not isinstance(time, datetime):
        raise InvalidEvent(f"received_at: is neither a datetime nor a str but a {type(time).__name__}")
    if time.utcoffset() is None:
        raise InvalidEvent(
            f"received_at: {time!r} has no time zone, so nobody can tell when it was; "
            "use datetime.now(timezone.utc), or give it a tzinfo"
        )
    try:
        # In UTC, because an offset may have seconds, which the text has no place for.
        return time.astimezone(timezone.utc).replace(tzinfo=None, microsecond=0).isoformat() + "Z"
    except OverflowError:
        raise InvalidEvent(f"received_at: {time!r} is before the year 1 or after 9999 in UTC") from None


def json_of_one(event: Event) -> bytes:
    """A JSON object."""
    try:
        return _encode(_members(event))
    except InvalidEvent:
        raise
    except Exception as cause:  # noqa: BLE001 - json and what it calls raise many things
        raise InvalidEvent(f"cannot be written as JSON: {cause}") from None


def json_of(events: List[EventLike], first: int, queued: int) -> bytes:
    """A JSON array of these events, of which the first is number `first` of the caller's."""
    try:
        return _encode([_members(event) for event in events])
    except Exception:  # noqa: BLE001 - whatever it was, the second look finds it and names the event
        for index, event in enumerate(events, first):
            try:
                _encode([_members(event)])
            except InvalidEvent as cause:
                raise InvalidEvent(placed(str(cause), index, queued), event_index=index, queued=queued) from None
            except Exception as cause:  # noqa: BLE001
                what = f"cannot be written as JSON: {cause}"
                raise InvalidEvent(placed(what, index, queued), event_index=index, queued=queued) from None
        raise


def placed(what: str, index: int, queued: int) -> str:
    return f"{what} (event {index}, counted from 0; the {queued} before its chunk are queued)"


def relocated(error: MeditopiaError, first: int, queued: int) -> MeditopiaError:
    """The error of a chunk, with the index in the whole iterable."""
    details: Dict[str, Any] = {**error.__dict__, "queued": queued}
    message = str(error)
    if error.event_index is not None:
        details["event_index"] = first + error.event_index
        # The library counts within the call: "... (event 3 of 1000; none was queued)".
        message = placed(message.rpartition(" (event ")[0] or message, first + error.event_index, queued)
    return type(error)(message, **details)


def _members(event: EventLike) -> Dict[str, Any]:
    members = event._asdict() if isinstance(event, Event) else dict(event)
    time = members.get("received_at")
    if time is not None and not isinstance(time, str):
        members["received_at"] = received_at_text(time)
    return members


def _encode(events: Any) -> bytes:
    text = json.dumps(events, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        # A lone surrogate. Escaped, it gets as far as the library, which says where it is.
        return json.dumps(events, allow_nan=False, separators=(",", ":")).encode()


def chunks(events: Iterable[EventLike], size: int) -> Iterator[List[EventLike]]:
    chunk: List[EventLike] = []
    for event in events:
        chunk.append(event)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
