"""Exceptions: a class for each status of the library, so that a caller catches what it can deal with.

All of them survive pickling, because they travel out of worker processes.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Type

from ._records import PauseReason, Report


class MeditopiaError(Exception):
    """What went wrong; `str()` of it says what to do next. Never contains a bearer token."""

    #: Whether the same call may succeed later without any change by the caller.
    retryable: bool = False
    #: HTTP status of the API's answer that led here, and the API's own code; None: none.
    http_status: Optional[int] = None
    api_code: Optional[str] = None
    #: Which event of the call is meant, counted from 0; None: none.
    event_index: Optional[int] = None
    #: How many events of an `enqueue_many` were queued before this; a later call can go on from there.
    queued: int = 0

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.__dict__.update(details)

    def __reduce__(self) -> Any:
        return (_rebuild, (type(self), self.args[0], self.__dict__))


def _rebuild(kind: Type[MeditopiaError], message: str, details: Dict[str, Any]) -> MeditopiaError:
    return kind(message, **details)


class LibraryError(MeditopiaError, ImportError):
    """libmeditopia was not found, or is not of the version that this package needs."""


class InvalidArgument(MeditopiaError, ValueError):
    """A mistake in the calling code; the message names the argument."""


class InvalidEvent(MeditopiaError, ValueError):
    """An event breaks a rule of the API; the message names the field. It was not queued."""


class SourceError(MeditopiaError):
    """The iterable of an `enqueue_many` raised: `__cause__` is what. `queued` says how many events are queued."""


class ConfigError(MeditopiaError, ValueError):
    """An option is not known, out of range, or contradicts another."""


class Conflict(MeditopiaError):
    """Another client of this process has the same spool open with another value for an option."""


class SpoolMismatch(MeditopiaError):
    """The spool belongs to another user, endpoint, account or place on disk."""


class SpoolFull(MeditopiaError):
    """The disk, or `max_spool_bytes`, is full. What was acknowledged before stays safe."""


class SpoolIOError(MeditopiaError, OSError):
    """The operating system refused a read or a write. An enqueue that fails so is unknown."""

    # OSError would read its arguments as an errno.
    def __str__(self) -> str:
        return str(self.args[0])


class _WithReport(MeditopiaError):
    #: What the flush or close did until then.
    report: Optional[Report] = None


class Paused(_WithReport):
    """Delivery is paused, `pause_reason` says why. Everything is kept, and enqueue goes on."""

    pause_reason: PauseReason = PauseReason.NONE


class TimedOut(_WithReport, TimeoutError):
    """The deadline passed first. Everything is kept, and delivery goes on."""

    def __str__(self) -> str:
        return str(self.args[0])


class ClosedError(MeditopiaError):
    """The client was closed before this call."""


class StoreError(MeditopiaError):
    """The store of the spool is damaged, or of a newer version than the library. Enqueue goes on."""


class InternalError(MeditopiaError):
    """A defect of the library, caught at its door. Please report the message."""


#: The statuses of meditopia.h. One that is not here is of a later version: InternalError, says the header.
BY_STATUS: Dict[int, Type[MeditopiaError]] = {
    -1: InvalidArgument,
    -2: InvalidEvent,
    -3: ConfigError,
    -4: Conflict,
    -5: SpoolMismatch,
    -6: SpoolFull,
    -7: SpoolIOError,
    -8: Paused,
    -9: TimedOut,
    -10: ClosedError,
    -11: StoreError,
    -13: InternalError,
}
