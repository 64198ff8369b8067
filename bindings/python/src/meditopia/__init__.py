"""Queues user-activity events durably and delivers them to the Meditopia Partners API.

    from meditopia import Client

    with Client(spool="/var/spool/myapp/meditopia", bearer_token_file="/etc/myapp/token") as client:
        client.enqueue(token="user-token-1", partner_user_id="user-1", event="video")

An enqueue returns when the event is in a file of the spool; delivery goes on behind it, and outlives
the process. The package is a thin one: everything is decided in libmeditopia, which comes with it.
"""

from ._client import Client, DisabledClient
from ._errors import (
    ClosedError,
    ConfigError,
    Conflict,
    InternalError,
    InvalidArgument,
    InvalidEvent,
    LibraryError,
    MeditopiaError,
    Paused,
    SourceError,
    SpoolFull,
    SpoolIOError,
    SpoolMismatch,
    StoreError,
    TimedOut,
)
from ._event import Event, EventType
from ._lists import InDoubt, Pending, Receipts, Rejected
from ._protocol import ClientLike
from ._records import Erasure, Histogram, PauseReason, Reason, Receipt, Report, Row, SenderSeen, Stats
from ._version import __version__

__all__ = [
    "Client",
    "ClientLike",
    "ClosedError",
    "ConfigError",
    "Conflict",
    "DisabledClient",
    "Erasure",
    "Event",
    "EventType",
    "Histogram",
    "InDoubt",
    "InternalError",
    "InvalidArgument",
    "InvalidEvent",
    "LibraryError",
    "MeditopiaError",
    "PauseReason",
    "Paused",
    "Pending",
    "Reason",
    "Receipt",
    "Receipts",
    "Rejected",
    "Report",
    "Row",
    "SenderSeen",
    "SourceError",
    "SpoolFull",
    "SpoolIOError",
    "SpoolMismatch",
    "Stats",
    "StoreError",
    "TimedOut",
    "__version__",
]
