"""Events on their way in: what Python has becomes the JSON or the texts that the library judges.

Only what Python alone can know is judged here: a datetime without a zone, a value that is no JSON, an id that is
neither text nor a number. The error of each names the field and the type.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from enum import Enum
from operator import index
from typing import Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Union
from uuid import UUID

from ._errors import InvalidEvent, MeditopiaError

#: What may be an id: a text, or what has one text.
Id = Union[str, int, UUID]


class EventType(str, Enum):
    """What the API knows. The texts do as well."""

    REGISTER = "register"
    SIGNIN = "signin"
    AUDIO = "audio"
    VIDEO = "video"
    CONTENT = "content"


class Event(NamedTuple):
    """One event for `enqueue_many`; a mapping with these keys does as well."""

    token: Id
    partner_user_id: Id
    event: str
    event_value: Any = None
    received_at: Union[datetime, str, None] = None


#: What `enqueue_many` takes.
EventLike = Union[Event, Mapping[str, Any]]


def id_text(name: str, value: object) -> str:
    """A token or a user's id: whole numbers and UUIDs have one text, everything else has to be one."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, UUID):
        return str(value)
    if not isinstance(value, bool):
        try:
            # Also numpy's whole numbers.
            return str(index(value))  # type: ignore[arg-type]
        except TypeError:
            pass
        except ValueError as cause:
            raise InvalidEvent(f"{name}: {cause}") from None
    raise InvalidEvent(f"{name}: is not a str, an int or a UUID but {_kind(value)}")


def event_text(value: object) -> str:
    """The kind of an event."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return str.__str__(value)
    raise InvalidEvent(f"event: is not a str but {_kind(value)}")


def received_at_text(time: object) -> str:
    """A time as the library reads it; fractions are cut there."""
    if isinstance(time, str):
        return str.__str__(time)
    if not isinstance(time, datetime):
        raise InvalidEvent(f"received_at: is neither a datetime nor a str but {_kind(time)}")
    try:
        if time != time:
            raise InvalidEvent(f"received_at: is {_kind(time)}, which is no time; give None for now")
        if time.utcoffset() is None:
            raise InvalidEvent(
                f"received_at: {time!r} has no time zone, so nobody can tell when it was; "
                "use datetime.now(timezone.utc), or give it a tzinfo"
            )
        # In UTC, because an offset may have seconds, which the text has no place for.
        utc = time.astimezone(timezone.utc)
        return f"{utc.year:04}-{utc.month:02}-{utc.day:02}T{utc.hour:02}:{utc.minute:02}:{utc.second:02}Z"
    except InvalidEvent:
        raise
    except OverflowError:
        raise InvalidEvent(f"received_at: {time!r} is before the year 1 or after 9999 in UTC") from None
    except Exception as cause:  # noqa: BLE001 - a tzinfo of the application may raise anything
        raise InvalidEvent(f"received_at: this {type(time).__name__} tells no time: {cause}") from cause


def json_of_one(event: Event) -> bytes:
    """A JSON object."""
    try:
        return _encode(_members(event))
    except InvalidEvent:
        raise
    except Exception as cause:  # noqa: BLE001 - json and what it calls raise many things
        raise InvalidEvent(_what_is_wrong(event, cause)) from None


def json_of(events: List[EventLike], first: int, queued: int) -> bytes:
    """A JSON array of these events, of which the first is number `first` of the caller's."""
    try:
        return _encode([_members(event) for event in events])
    except Exception:  # noqa: BLE001 - whatever it was, the second look finds it and names the event
        for number, event in enumerate(events, first):
            try:
                _encode([_members(event)])
            except Exception as cause:  # noqa: BLE001
                what = str(cause) if isinstance(cause, InvalidEvent) else _what_is_wrong(event, cause)
                raise InvalidEvent(placed(what, number, queued), event_index=number, queued=queued) from None
        raise


def _what_is_wrong(event: EventLike, cause: Exception) -> str:
    """The field of an event that cannot be written as JSON, and why."""
    try:
        members = _members(event)
    except Exception:  # noqa: BLE001 - the mapping itself fails
        return f"cannot be read, {_kind(event)}: {cause}"
    for name, value in members.items():
        try:
            _encode(value)
        except Exception as why:  # noqa: BLE001
            return str(why) if isinstance(why, InvalidEvent) else f"{name}: cannot be written as JSON: {why}"
    return f"cannot be written as JSON: {cause}"


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
    if isinstance(event, Event):
        members = event._asdict()
    else:
        try:
            members = dict(event)
        except (TypeError, ValueError):
            raise InvalidEvent(f"is neither an Event nor a mapping but {_kind(event)}") from None
    for name in ("token", "partner_user_id"):
        if name in members and type(members[name]) is not str:
            members[name] = id_text(name, members[name])
    if "event" in members and type(members["event"]) is not str:
        members["event"] = event_text(members["event"])
    time = members.get("received_at")
    if time is not None and type(time) is not str:
        members["received_at"] = received_at_text(time)
    return members


def _plain(value: Any) -> Any:
    """What JSON has no form for, inside of an `event_value`."""
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if getattr(getattr(value, "dtype", None), "kind", None) in tuple("biuf") and value.shape == ():
        # A number of numpy's, which may be none of Python's.
        return value.item()
    raise InvalidEvent(f"event_value: holds {_kind(value)}, which is not JSON; give a str, a number, a dict or a list")


def _encode(events: Any) -> bytes:
    text = json.dumps(events, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
    try:
        return text.encode()
    except UnicodeEncodeError:
        # A lone surrogate. Escaped, it gets as far as the library, which says where it is.
        return json.dumps(events, allow_nan=False, separators=(",", ":"), default=_plain).encode()


def _kind(value: object) -> str:
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"


def chunks(events: Iterable[EventLike], size: int) -> Iterator[List[EventLike]]:
    chunk: List[EventLike] = []
    for event in events:
        chunk.append(event)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
