"""What the library tells: reports, counters, rows of its lists. Frozen, with datetimes in UTC."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import IntEnum
from typing import Any, Dict, NamedTuple, Optional, Tuple

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def time_of(milliseconds: int) -> Optional[datetime]:
    """0 and -1 are the library's two ways to say that there is no such time."""
    return EPOCH + timedelta(milliseconds=milliseconds) if milliseconds > 0 else None


class _Code(IntEnum):
    """A number of meditopia.h; one of a later version than this package is UNKNOWN."""

    @classmethod
    def _missing_(cls, value: object) -> Any:
        return cls.__members__["UNKNOWN"]


class PauseReason(_Code):
    """Why delivery is paused."""

    UNKNOWN = -1
    #: It is not paused.
    NONE = 0
    #: The API refused the bearer token, or there is none.
    AUTH = 1
    #: The API refused this host's address: ask Meditopia to allow it.
    IP = 2
    #: What answers at the endpoint does not look like the Partners API.
    MISROUTED = 3
    #: So many users in a row were refused that it is more likely our mistake than theirs.
    MASS_REJECTION = 4
    #: The API answers the same request with server errors again and again.
    SERVER_ERROR = 5
    #: The store cannot be trusted until an operator recovers it.
    STORE_DAMAGED = 6
    #: An operator asked for it.
    HOLD = 7


class Reason(_Code):
    """Why an event is in a list."""

    UNKNOWN = -1
    REFUSED = 1
    EXPIRED = 2
    IN_DOUBT = 3
    REFUSED_MAY_BE_DELIVERED = 4
    SET_ASIDE = 5
    EXPIRED_MAY_BE_DELIVERED = 6
    #: It waits, and a sender has taken it over; or none has yet.
    PENDING = 7
    JOURNALLED = 8

    @property
    def may_be_delivered(self) -> bool:
        """Whether the event may have arrived all the same: look before you requeue it."""
        return self not in (Reason.REFUSED, Reason.EXPIRED, Reason.PENDING, Reason.JOURNALLED)


@dataclass(frozen=True)
class Report:
    """What a flush or close did. Events of the whole spool, other processes' included."""

    #: Accepted by the API since the call began.
    delivered: int
    #: Refused by the API, each alone in a request, since the call began: see `Client.rejected`.
    rejected: int
    #: Older than `event_ttl_s` since the call began; kept with the rejected.
    expired: int
    #: Waiting when the call returned.
    pending: int
    #: Of the pending: sent, but no answer has settled whether they arrived.
    in_doubt: int
    pause_reason: PauseReason
    paused_since: Optional[datetime]
    #: When a request asks next whether the pause is over; None: only an operator ends it.
    next_probe: Optional[datetime]

    @classmethod
    def of(cls, raw: Any) -> Report:
        return cls(
            raw.delivered,
            raw.rejected,
            raw.expired,
            raw.pending,
            raw.in_doubt,
            PauseReason(raw.pause_reason),
            time_of(raw.paused_since_ms),
            time_of(raw.next_probe_ms),
        )


class SenderSeen(NamedTuple):
    """What `Client.sender_seen` says."""

    #: When a sender was last at work; None: there never was one.
    seen: Optional[datetime]
    #: Whether events seem to wait.
    waiting: bool


@dataclass(frozen=True)
class Histogram:
    """How long something took, in microseconds, and how often."""

    count: int
    sum_us: int
    #: How many fell into each bucket, the last of which has no bound; `Client.metrics` names the bounds.
    buckets: Tuple[int, ...]

    @classmethod
    def of(cls, raw: Any) -> Histogram:
        return cls(raw.count, raw.sum_us, tuple(raw.buckets))


@dataclass(frozen=True)
class Erasure:
    """What `Client.forget_user` has erased, and what is left of the user in the spool."""

    #: Events that waited, rejected events, and receipts that named the user.
    pending: int
    rejected: int
    receipts: int
    #: Events that cannot be taken back: a request with them is under way, or none has been answered.
    in_flight: int
    #: Files in which the user still stands; the command `meditopia forget` names them.
    files_left: int
    #: Nothing of the user is left in the spool.
    is_complete: bool

    @classmethod
    def of(cls, raw: Any) -> Erasure:
        return cls(raw.pending, raw.rejected, raw.receipts, raw.in_flight, raw.files_left, bool(raw.is_complete))


@dataclass(frozen=True)
class Stats:
    """Counters of a spool since it was made, all its processes together (`enqueued` apart)."""

    #: Acknowledged by this process since it opened the spool.
    enqueued: int
    delivered: int
    rejected: int
    expired: int
    #: Waiting now, and of these: sent without an answer that settles them.
    pending: int
    in_doubt: int
    #: Requests of every kind; those sent again; those refused; those that looked for a bad event.
    requests: int
    retried_requests: int
    refused_requests: int
    isolation_requests: int
    #: Bytes and files on disk that no sender has taken over yet.
    journal_bytes: int
    segments: int
    #: Records and file ends that could not be read; events that `meditopia recover` lost.
    damaged_records: int
    torn_tails: int
    lost: int
    #: Of these damaged records and lost events: how many no operator has acknowledged.
    damage_unacknowledged: int
    #: Requests by how they ended, the bytes of all of them, and how often delivery was paused.
    delivered_requests: int
    too_large_requests: int
    postponed_requests: int
    in_doubt_requests: int
    pausing_requests: int
    sent_bytes: int
    pauses: int
    #: Times of this process's enqueues; of requests; from an event's enqueue to its delivery.
    enqueue: Histogram
    request: Histogram
    delivery: Histogram
    pause_reason: PauseReason
    paused_since: Optional[datetime]
    next_probe: Optional[datetime]
    #: When the oldest pending event was enqueued.
    oldest_pending: Optional[datetime]
    #: When a sender was last at work, and its process. Long ago, with events pending: nobody sends.
    sender_seen: Optional[datetime]
    sender_pid: Optional[int]
    #: When the API last answered, and when it last accepted events.
    answered: Optional[datetime]
    accepted: Optional[datetime]
    #: The store cannot be read, so its figures are missing: they are 0, whatever they were.
    store_unreadable: bool

    @classmethod
    def of(cls, raw: Any) -> Stats:
        return cls(
            **{name: getattr(raw, name) for name in _COUNTERS},
            enqueue=Histogram.of(raw.enqueue),
            request=Histogram.of(raw.request),
            delivery=Histogram.of(raw.delivery),
            pause_reason=PauseReason(raw.pause_reason),
            paused_since=time_of(raw.paused_since_ms),
            next_probe=time_of(raw.next_probe_ms),
            oldest_pending=time_of(raw.oldest_pending_ms),
            sender_seen=time_of(raw.sender_seen_ms),
            sender_pid=raw.sender_pid if raw.sender_pid > 0 else None,
            answered=time_of(raw.answered_ms),
            accepted=time_of(raw.accepted_ms),
            store_unreadable=bool(raw.store_unreadable),
        )


_COUNTERS = [name for name, kind in Stats.__annotations__.items() if kind == "int"]


@dataclass(frozen=True)
class Row:
    """One event of a list."""

    #: What requeue, discard and set_aside take; grows along a list.
    id: int
    reason: Reason
    #: The API's code and message, or what the library has to say.
    api_code: str
    message: str
    #: HTTP status of the answer; None: none.
    http_status: Optional[int]
    #: How many requests carried the event.
    attempts: int
    #: In doubt: its first and last request; else its enqueue and its rejection.
    first: Optional[datetime]
    last: Optional[datetime]
    #: The event as it goes to the API, byte for byte.
    event_json: str

    @property
    def event(self) -> Any:
        """The event as a dict."""
        return json.loads(self.event_json)

    @classmethod
    def of(cls, raw: Any) -> Row:
        return cls(
            raw.id,
            Reason(raw.reason),
            raw.api_code.decode(),
            raw.message.decode(),
            raw.http_status or None,
            raw.attempts,
            time_of(raw.first_ms),
            time_of(raw.last_ms),
            raw.event_json.decode(),
        )


@dataclass(frozen=True)
class Receipt:
    """One request that the API accepted."""

    #: Grows along the list.
    id: int
    http_status: int
    #: When the answer came.
    time: Optional[datetime]
    #: How many requests carried this batch.
    attempts: int
    #: How many events it held, how many of each kind, and of how many users.
    events: int
    register_events: int
    signin_events: int
    audio_events: int
    video_events: int
    content_events: int
    users: int
    #: `[{"partner_user_id":"u-1","events":{"video":2}}, ...]`
    users_json: str

    @property
    def events_by_user(self) -> Dict[str, Dict[str, int]]:
        """How many events of each kind each user had."""
        return {each["partner_user_id"]: each["events"] for each in json.loads(self.users_json)}

    @classmethod
    def of(cls, raw: Any) -> Receipt:
        return cls(
            raw.id,
            raw.http_status,
            time_of(raw.time_ms),
            raw.attempts,
            raw.events,
            raw.register_events,
            raw.signin_events,
            raw.audio_events,
            raw.video_events,
            raw.content_events,
            raw.users,
            raw.users_json.decode(),
        )
