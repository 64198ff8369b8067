"""Waits that a person, a signal or a task can end.

A call into C lets no signal handler of Python run before it returns: Ctrl-C, or a server's request to stop,
would wait as long as the call does. So the main thread lets another one make the call and waits for that.

A coroutine waits the same way, and not in asyncio's default executor: that one has few threads, which also look up
every name of the application, and a program does not end before they do.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading
from collections import deque
from contextvars import copy_context
from datetime import timedelta
from functools import lru_cache
from typing import Any, Callable, Deque, List, Optional, TypeVar

from ._errors import InvalidArgument, MeditopiaError

T = TypeVar("T")

#: The threads that write to the disk at once for coroutines; further calls wait for one of them.
WRITERS = 16


def interruptible(call: Callable[[], T]) -> T:
    """What `call` returns or raises. If a signal handler raises meanwhile, the call ends by itself, unheeded."""
    if threading.current_thread() is not threading.main_thread() or in_subinterpreter():
        # No signal handler runs here.
        return call()
    returned: List[T] = []
    raised: List[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            returned.append(call())
        except BaseException as cause:  # noqa: BLE001 - raised again below
            raised.append(cause)
        finally:
            done.set()

    thread = _started(run)
    if thread is None:
        return call()
    done.wait()
    # Only its last steps are left. A thread that is still there could be seen by a fork.
    thread.join()
    if raised:
        try:
            raise raised[0]
        finally:
            # The exception holds this frame; without the list there is no cycle.
            del raised[:]
    return returned[0]


async def off_the_loop(call: Callable[[], T], writes: bool = False) -> T:
    """What `call` returns or raises, from another thread. A task that is cancelled does not wait for the rest.

    A call that waits for the API has a thread of its own, so none waits for another. Calls that only write are many
    and short, and share a few.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = copy_context()

    def run() -> None:
        try:
            returned = context.run(call)
        except BaseException as cause:  # noqa: BLE001 - raised again in the task
            tell(_fail, cause)
        else:
            tell(_succeed, returned)

    def tell(settle: Callable[..., None], outcome: Any) -> None:
        try:
            loop.call_soon_threadsafe(settle, future, outcome)
        except RuntimeError:
            # The loop was closed: nobody waits any more.
            pass

    if not (_writers().run(run) if writes else _started(run)):
        raise MeditopiaError("no thread can be started for this call, so nothing was done; try again", retryable=True)
    return await future


def _succeed(future: asyncio.Future[Any], outcome: Any) -> None:
    if not future.done():
        future.set_result(outcome)


def _fail(future: asyncio.Future[Any], cause: BaseException) -> None:
    if not future.done():
        future.set_exception(cause)


def _started(run: Callable[[], None]) -> Optional[threading.Thread]:
    """A thread for which the end of the program does not wait; None where none can be started."""
    # A subinterpreter that ends before one of its threads aborts the process, so there its end waits.
    thread = threading.Thread(target=run, name="meditopia-wait", daemon=not in_subinterpreter())
    try:
        thread.start()
    except RuntimeError:
        # The interpreter is ending, or the limit of threads is reached.
        return None
    return thread


class _Writers:
    """At most `WRITERS` threads, which end when nothing is left to do."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._lock = threading.Lock()
        self._calls: Deque[Callable[[], None]] = deque()
        self._threads = 0

    def run(self, call: Callable[[], None]) -> bool:
        """False if no thread can be started for it."""
        with self._lock:
            self._calls.append(call)
            if self._threads < WRITERS:
                if _started(self._work):
                    self._threads += 1
                elif not self._threads:
                    self._calls.clear()
                    return False
        return True

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._calls:
                    self._threads -= 1
                    return
                call = self._calls.popleft()
            call()


_shared = _Writers()


def _writers() -> _Writers:
    global _shared
    if _shared.pid != os.getpid():
        # After a fork: its threads are the parent's, and one of them may have held the lock.
        _shared = _Writers()
    return _shared


@lru_cache(maxsize=1)
def in_subinterpreter() -> bool:
    """Whether this is another than the first interpreter of the process, such as mod_wsgi makes for each application."""
    try:
        python = ctypes.pythonapi
        python.PyInterpreterState_Get.restype = ctypes.c_void_p
        python.PyInterpreterState_GetID.restype = ctypes.c_int64
        number: int = python.PyInterpreterState_GetID(ctypes.c_void_p(python.PyInterpreterState_Get()))
    except AttributeError:
        # Not CPython.
        return False
    return number > 0


def timeout_ms(timeout: object) -> int:
    """A timeout in seconds or as a timedelta, in the library's milliseconds."""
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if not isinstance(seconds, (int, float)) or seconds != seconds or seconds < 0:
        raise InvalidArgument(f"timeout: {timeout!r} is neither seconds from 0 nor a timedelta")
    return int(min(seconds * 1000, 0xFFFFFFFF))
