"""Waits that a person can end.

A call into C lets no signal handler of Python run before it returns: Ctrl-C, or a server's request to stop,
would wait as long as the call does. So the main thread lets another one make the call and waits for that.
"""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Callable, List, TypeVar

from ._errors import InvalidArgument

T = TypeVar("T")


def interruptible(call: Callable[[], T]) -> T:
    """What `call` returns or raises. If a signal handler raises meanwhile, the call ends by itself, unheeded."""
    if threading.current_thread() is not threading.main_thread():
        return call()
    returned: List[T] = []
    raised: List[BaseException] = []

    def run() -> None:
        try:
            returned.append(call())
        except BaseException as cause:  # noqa: BLE001 - raised again below
            raised.append(cause)
        finally:
            done.set()

    done = threading.Event()
    try:
        threading.Thread(target=run, name="meditopia-wait", daemon=True).start()
    except RuntimeError:
        # The interpreter is ending, or the limit of threads is reached.
        return call()
    done.wait()
    if raised:
        try:
            raise raised[0]
        finally:
            # The exception holds this frame; without the list there is no cycle.
            del raised[:]
    return returned[0]


def timeout_ms(timeout: object) -> int:
    """A timeout in seconds or as a timedelta, in the library's milliseconds."""
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if not isinstance(seconds, (int, float)) or seconds != seconds or seconds < 0:
        raise InvalidArgument(f"timeout: {timeout!r} is neither seconds from 0 nor a timedelta")
    return int(min(seconds * 1000, 0xFFFFFFFF))
