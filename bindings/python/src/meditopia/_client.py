"""The client: what an application holds on to.

Every thread may use one client, and so may processes that are forked from its owner. An enqueue allocates
nothing for its error: it borrows a struct from a list, whose pop and append are atomic, and gives it back.
"""

from __future__ import annotations

import asyncio
import os
import threading
from ctypes import addressof, byref, c_int32, c_int64
from datetime import datetime, timedelta
from time import monotonic
from types import TracebackType
from typing import Any, Callable, Iterable, Iterator, List, Optional, Tuple, Type, Union

from . import _abi
from ._config import Secret, open_client, set_secretly
from ._disabled import Disabled
from ._errors import InvalidArgument, MeditopiaError, SourceError, _WithReport
from ._event import Event, EventLike, Id, chunks, json_of, json_of_one, received_at_text, relocated
from ._library import c_text, exception_of, load
from ._lists import InDoubt, Pending, Receipts, Rejected
from ._log import LogPoll, logger
from ._records import Erasure, Report, SenderSeen, Stats, time_of
from ._wait import interruptible, off_the_loop, timeout_ms

Path = Union[str, "os.PathLike[str]"]
Time = Union[int, timedelta]
Timeout = Union[float, timedelta]

#: The events that `enqueue_many` hands over in one call.
CHUNK_EVENTS = 1000
#: The most bytes of JSON of one call; the library takes 64 MiB.
CHUNK_BYTES = 16 * 1024 * 1024
#: How long the end of a `with` block waits for delivery.
EXIT_TIMEOUT_S = 5.0

#: `encode` of a str and nothing else, whatever a subclass makes of it.
_utf8 = str.encode


class Client:
    """A client of one spool. Options are those of the library's README; None leaves one at its default."""

    _handle: Optional[int] = None
    _shown = "not open"

    def __init__(
        self,
        *,
        spool: Optional[Path] = None,
        endpoint: Optional[str] = None,
        account: Optional[str] = None,
        bearer_token: Optional[str] = None,
        bearer_token_file: Optional[Path] = None,
        durability: Optional[str] = None,
        role: Optional[str] = None,
        flush_interval_ms: Optional[Time] = None,
        batch_max: Optional[int] = None,
        lanes: Optional[int] = None,
        connect_timeout_ms: Optional[Time] = None,
        request_timeout_ms: Optional[Time] = None,
        proxy: Optional[str] = None,
        ca_file: Optional[Path] = None,
        max_spool_bytes: Optional[int] = None,
        max_event_bytes: Optional[int] = None,
        utc_offset: Optional[str] = None,
        event_ttl_s: Optional[Time] = None,
        max_requests_per_s: Optional[int] = None,
        brake_users: Optional[int] = None,
        receipts_days: Optional[int] = None,
        log_level: Optional[str] = None,
        allow_network_spool: Optional[bool] = None,
        trust_group: Optional[bool] = None,
        config_file: Optional[Path] = None,
        from_env: bool = False,
        library: Optional[Path] = None,
    ) -> None:
        """Opens the spool, and makes it if it is not there. No network, and no thread before the first enqueue.

        `config_file` is a TOML file of the same keys and `from_env` reads MEDITOPIA_SPOOL and so on; arguments
        go before both. `library` names the libmeditopia to load.
        """
        options = {
            "spool": spool,
            "endpoint": endpoint,
            "account": account,
            "bearer_token": Secret.of(bearer_token),
            "bearer_token_file": bearer_token_file,
            "durability": durability,
            "role": role,
            "flush_interval_ms": flush_interval_ms,
            "batch_max": batch_max,
            "lanes": lanes,
            "connect_timeout_ms": connect_timeout_ms,
            "request_timeout_ms": request_timeout_ms,
            "proxy": Secret.of(proxy),
            "ca_file": ca_file,
            "max_spool_bytes": max_spool_bytes,
            "max_event_bytes": max_event_bytes,
            "utc_offset": utc_offset,
            "event_ttl_s": event_ttl_s,
            "max_requests_per_s": max_requests_per_s,
            "brake_users": brake_users,
            "receipts_days": receipts_days,
            "log_level": log_level,
            "allow_network_spool": allow_network_spool,
            "trust_group": trust_group,
        }
        del bearer_token, proxy
        self._library = load(library)
        opened = open_client(self._library, options, None if config_file is None else os.fspath(config_file), from_env)
        self._handle = opened["handle"]
        self._shown = f"spool={opened['spool']!r} role={opened['role']} durability={opened['durability']}"
        self._enqueue_n = self._library.enqueue_n
        self._errors: List[Tuple[Any, int]] = []
        self._log: Union[LogPoll, _NoLog] = LogPoll(self._library, opened["handle"])
        self._log.poll()

    @classmethod
    def disabled(cls, **options: Any) -> DisabledClient:
        """A client that checks events and delivers none, and logs once that it does: for development and tests.

        It takes the options of `Client`, so that an application may choose by one word; the spool is not touched.
        """
        return DisabledClient(**options)

    def __repr__(self) -> str:
        return f"<meditopia.Client {self._shown}>"

    def __reduce__(self) -> Any:
        raise TypeError("a meditopia.Client is not pickled: open one in the other process, with the same spool")

    # What goes in

    def enqueue(
        self,
        *,
        token: Id,
        partner_user_id: Id,
        event: str,
        event_value: Any = None,
        received_at: Union[datetime, str, None] = None,
    ) -> None:
        """Queues one event; it is safe when this returns. No network, no wait for the sender.

        Ids may be ints and UUIDs, which are sent as text. `event_value` is None, a str or anything that `json` writes.
        `received_at` is a datetime with a time zone, a text that the library reads, or None for now.
        """
        try:
            token_, user_, event_ = _utf8(token), _utf8(partner_user_id), _utf8(event)  # type: ignore[arg-type]
            value_ = None if event_value is None else _utf8(event_value)
        except (TypeError, UnicodeEncodeError):
            # Something else than text: an id or a value for JSON, or a mistake that the library names.
            json = json_of_one(Event(token, partner_user_id, event, event_value, received_at))
            self._count("enqueue_json", json, len(json))
            return
        if received_at is None:
            time_ = None
        else:
            time_ = received_at_text(received_at).encode("utf-8", "replace")
        try:
            slot = self._errors.pop()
        except IndexError:
            error = _abi.Error()
            slot = (error, addressof(error))
        status = self._enqueue_n(
            self._handle,
            token_, len(token_),
            user_, len(user_),
            event_, len(event_),
            value_, 0 if value_ is None else len(value_),
            time_, 0 if time_ is None else len(time_),
            slot[1],
        )  # fmt: skip
        if status < 0:
            raise exception_of(slot[0])
        self._errors.append(slot)
        if monotonic() >= self._log.due:
            self._log.poll()

    def enqueue_many(self, events: Iterable[EventLike]) -> int:
        """Queues `Event`s or mappings with the same keys, and says how many; one call into C for each 1,000.

        Of 1,000 all are queued or none. After an error `event_index` says which event of all it was, and `queued`
        how many were queued before: the rest can be given again from there. If the iterable itself raises, that is
        the `__cause__` of a `SourceError`, which has `queued` as well.
        """
        return self._enqueue_all(events, _never)

    def _enqueue_all(self, events: Iterable[EventLike], stopped: Callable[[], bool]) -> int:
        try:
            source = chunks(iter(events), CHUNK_EVENTS)
        except TypeError:
            raise InvalidArgument(f"events: is not an iterable but a {type(events).__name__}") from None
        queued = 0
        while not stopped():
            try:
                chunk = next(source, None)
            except Exception as cause:
                what = f"the iterable of events raised {type(cause).__name__}: {cause}"
                where = f"(the {queued} events before its chunk are queued)"
                raise SourceError(f"{what} {where}", queued=queued) from cause
            if chunk is None:
                break
            queued = self._enqueue_json(chunk, queued, queued)
        self._log.poll()
        return queued

    def _enqueue_json(self, events: List[EventLike], first: int, queued: int) -> int:
        json = json_of(events, first, queued)
        if len(json) > CHUNK_BYTES and len(events) > 1:
            half = len(events) // 2
            queued = self._enqueue_json(events[:half], first, queued)
            return self._enqueue_json(events[half:], first + half, queued)
        try:
            return queued + self._library.count("enqueue_json", self._handle, json, len(json))
        except MeditopiaError as error:
            raise relocated(error, first, queued) from None

    # Delivery

    def flush(self, timeout: Timeout = 30.0) -> Report:
        """Waits until all that was enqueued before is delivered or rejected; raises `TimedOut` or `Paused`.

        Both have a `report` too. Sends by itself if nobody else does, also with `role="enqueue"`. Tries again
        first if delivery is paused: with one request, at most every 30 s.
        """
        return self._reported("flush", timeout)

    def close(self, timeout: Timeout = 30.0) -> Report:
        """Flushes what this process enqueued (with `role="both"`) and ends the client. Closing again does nothing.

        A process that ends without it loses nothing.
        """
        self._log.poll()
        return self._reported("client_close", timeout)

    def _reported(self, name: str, timeout: Timeout) -> Report:
        raw, error = _abi.sized(_abi.Report), _abi.Error()
        function = getattr(self._library, name)
        milliseconds = timeout_ms(timeout)
        status = interruptible(lambda: function(self._handle, milliseconds, byref(raw), byref(error)))
        self._log.poll()
        if status < 0:
            raised = exception_of(error)
            if isinstance(raised, _WithReport):
                raised.report = Report.of(raw)
            raise raised
        return Report.of(raw)

    def set_bearer_token(self, bearer_token: str) -> None:
        """Replaces the bearer token of this process; ends a pause for `PauseReason.AUTH`."""
        secret = Secret(bearer_token)
        del bearer_token
        set_secretly(self._library, "set_bearer_token", self._handle, "bearer_token", secret)
        self._log.poll()

    def hold(self) -> None:
        """Stops sending from this spool, in every process, until `resume`; survives a restart."""
        self._call("hold")

    def resume(self) -> None:
        """Ends a hold, any other pause but that of a damaged store, and the wait after a failed request."""
        self._call("resume")

    def forget_user(self, partner_user_id: str, timeout: Timeout = 30.0) -> Erasure:
        """Erases the user's events that were enqueued before and are not delivered, and the user's receipts, for good.

        An event that is enqueued during the call may be erased or stay. When it returns, the bytes of what is erased
        are in no file of the spool, but for what the result says: `in_flight` cannot be taken back. It waits for that until `timeout`; call it again later.
        """
        user = c_text("partner_user_id", partner_user_id)
        raw, error = _abi.sized(_abi.Erasure), _abi.Error()
        milliseconds = timeout_ms(timeout)
        function = self._library.forget_user
        status = interruptible(lambda: function(self._handle, user, milliseconds, byref(raw), byref(error)))
        self._log.poll()
        if status < 0:
            raise exception_of(error)
        return Erasure.of(raw)

    # What there is to see

    @property
    def stats(self) -> Stats:
        """Counters and states of the spool, as they are now."""
        raw = _abi.sized(_abi.Stats)
        self._call("get_stats", byref(raw))
        return Stats.of(raw)

    def sender_seen(self) -> SenderSeen:
        """When a sender was last at work, and whether events wait: cheap enough for a web request."""
        seen, waiting = c_int64(), c_int32()
        self._call("sender_seen", byref(seen), byref(waiting))
        return SenderSeen(time_of(seen.value), bool(waiting.value))

    def metrics(self) -> str:
        """The same as the text that Prometheus scrapes."""
        return self._library.text("stats_text", self._handle, _abi.FORMAT_PROMETHEUS)

    def stats_json(self) -> str:
        """The same as a JSON object, with the names of `meditopia status --json`."""
        return self._library.text("stats_text", self._handle, _abi.FORMAT_JSON)

    @property
    def rejected(self) -> Rejected:
        """The rejected events: iterate it, or narrow it by a call, such as `client.rejected(api_code="A_1104")`."""
        return Rejected(self)

    @property
    def in_doubt(self) -> InDoubt:
        """The events that were sent without an answer that settles them."""
        return InDoubt(self)

    @property
    def pending(self) -> Pending:
        """The events that wait, taken over by a sender or not: iterate it, or narrow it by a call."""
        return Pending(self)

    @property
    def receipts(self) -> Receipts:
        """The requests that the API accepted within the last `receipts_days`."""
        return Receipts(self)

    def poll_log(self) -> None:
        """Hands what the library has said to the logger `meditopia`; only needed where nothing else is called."""
        self._log.poll()

    # For asyncio: the same calls in threads of the package, and not in those of the loop's executor

    async def aenqueue(
        self,
        *,
        token: Id,
        partner_user_id: Id,
        event: str,
        event_value: Any = None,
        received_at: Union[datetime, str, None] = None,
    ) -> None:
        """`enqueue` off the loop: for `durability="power"`. With `process`, `enqueue` itself takes microseconds."""
        await off_the_loop(
            lambda: self.enqueue(
                token=token,
                partner_user_id=partner_user_id,
                event=event,
                event_value=event_value,
                received_at=received_at,
            ),
            writes=True,
        )

    async def aenqueue_many(self, events: Iterable[EventLike]) -> int:
        """`enqueue_many` off the loop; the iterable is gone through there, too. A task that is cancelled leaves the
        chunk that is being queued to its end, and queues no other."""
        stop = threading.Event()
        try:
            return await off_the_loop(lambda: self._enqueue_all(events, stop.is_set), writes=True)
        except asyncio.CancelledError:
            stop.set()
            raise

    async def aflush(self, timeout: Timeout = 30.0) -> Report:
        """`flush` off the loop. Cancelling it ends the wait of the task; the flush itself ends at its timeout, and
        neither the loop nor the end of the program waits for it."""
        return await off_the_loop(lambda: self.flush(timeout))

    async def aclose(self, timeout: Timeout = 30.0) -> Report:
        """`close` off the loop; cancelled, it goes on like `aflush`."""
        return await off_the_loop(lambda: self.close(timeout))

    # The end

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        """Closes within 5 s. What is not delivered by then waits in the spool; it is logged, and nothing is raised."""
        try:
            self._close_and_log()
        except Exception:  # noqa: BLE001 - a filter of the application; it must not hide what the block raised
            pass

    def _close_and_log(self) -> None:
        try:
            report = self.close(EXIT_TIMEOUT_S)
        except Exception as cause:  # noqa: BLE001 - whatever it is, what waits is safe
            rest: Optional[Report] = getattr(cause, "report", None)
            pending = f"{rest.pending} events wait" if rest else "what is not delivered waits"
            logger.warning("closed before all was delivered; %s in the spool (%s): %s", pending, self._shown, cause)
        else:
            if report.pending:
                logger.info("closed; %d events wait in the spool (%s) for its sender", report.pending, self._shown)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        await off_the_loop(lambda: self.__exit__(kind, error, trace))

    def __del__(self) -> None:
        """Frees the handle and waits for nothing: what is not delivered stays in the spool."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._library.client_free(handle)

    def _call(self, name: str, *arguments: Any) -> None:
        self._library.call(name, self._handle, *arguments)
        self._log.poll()

    def _count(self, name: str, *arguments: Any) -> int:
        changed = self._library.count(name, self._handle, *arguments)
        self._log.poll()
        return changed

    def _rows(self, name: str, *arguments: Any) -> Iterator[Any]:
        """The raw rows of a new list, each valid until the next; it is freed with the iterator."""
        library, (open_, next_, free, struct) = self._library, _abi.LISTS[name]
        opened = library.make(open_, self._handle, *arguments)
        row = _abi.sized(struct)
        try:
            while library.call(next_, opened, byref(row)) != _abi.DONE:
                yield row
        finally:
            getattr(library, free)(opened)


class DisabledClient(Disabled, Client):
    """What `Client.disabled` gives."""

    def __init__(self, **options: Any) -> None:
        unknown = set(options) - set(Client.__init__.__annotations__)
        if unknown:
            raise TypeError(f"{sorted(unknown)[0]!r} is not an option of a Client")
        self._disable(options, options.get("library"))
        self._log = _NoLog()


class _NoLog:
    due = float("inf")

    def poll(self) -> None:
        pass


def _never() -> bool:
    return False
