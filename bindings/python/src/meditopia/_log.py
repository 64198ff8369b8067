"""The library's log in Python's `logging`, as the logger `meditopia`.

The records are polled by calls of the client: by an enqueue at most once a second, by every other call
when it is done. Nothing calls back into Python, no thread is started for it, and so it works under every
server. The price: a process that calls nothing logs nothing; what it missed comes with its next call.
"""

from __future__ import annotations

import logging
import os
import threading
from ctypes import byref
from time import monotonic

from . import _abi
from ._library import Library

logger = logging.getLogger("meditopia")

#: How long enqueues leave a record waiting.
POLL_EVERY_S = 1.0
#: More than ever wait; so a handler that makes new records cannot keep a call for ever.
_MOST_AT_ONCE = 300

_LEVELS = {1: logging.ERROR, 2: logging.WARNING, 3: logging.INFO, 4: logging.DEBUG}


class LogPoll:
    """Takes the records of one client."""

    def __init__(self, library: Library, handle: int) -> None:
        self._library = library
        self._handle = handle
        self._turn = threading.Lock()
        self._pid = os.getpid()
        #: When an enqueue polls next.
        self.due = 0.0

    def poll(self) -> None:
        """Hands over what waits. Never raises, and never waits for another thread that is at it."""
        self.due = monotonic() + POLL_EVERY_S
        if self._pid != os.getpid():
            # A thread of the parent may have held it at the fork.
            self._turn, self._pid = threading.Lock(), os.getpid()
        # Not taken either when a handler of ours enqueues, which would come back here.
        if not self._turn.acquire(blocking=False):
            return
        try:
            self._hand_over()
        except Exception:  # noqa: BLE001 - a filter of the application; an enqueue does not fail for it
            pass
        finally:
            self._turn.release()

    def _hand_over(self) -> None:
        record = _abi.sized(_abi.LogRecord)
        error = _abi.Error()
        for _ in range(_MOST_AT_ONCE):
            if self._library.log_next(self._handle, byref(record), byref(error)) != _abi.OK:
                return
            level = _LEVELS.get(record.level, logging.ERROR)
            if logger.isEnabledFor(level):
                said = logger.makeRecord(logger.name, level, "libmeditopia", 0, record.message.decode(), (), None)
                said.created = record.time_ms / 1000
                said.msecs = record.time_ms % 1000
                logger.handle(said)
