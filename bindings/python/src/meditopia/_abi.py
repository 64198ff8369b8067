"""The structs and functions of meditopia.h for ctypes.

ctypes because it comes with Python: nothing is compiled at install and nothing else is installed. `CDLL`
releases the GIL for the length of every call, so whatever waits in the library holds up nobody else.
"""

from __future__ import annotations

from ctypes import (
    POINTER,
    Structure,
    c_char,
    c_char_p,
    c_int32,
    c_int64,
    c_size_t,
    c_uint32,
    c_uint64,
    c_void_p,
    sizeof,
)
from typing import Any, Dict, Tuple

#: The version of the header that this file was written from.
ABI_MAJOR, ABI_MINOR = 0, 3

OK, DONE = 0, 1
FORMAT_JSON, FORMAT_PROMETHEUS = 0, 1


class Error(Structure):
    _fields_ = [
        ("status", c_int32),
        ("http_status", c_int32),
        ("retryable", c_int32),
        ("pause_reason", c_int32),
        ("event_index", c_int64),
        ("api_code", c_char * 32),
        ("message", c_char * 512),
        ("reserved", c_uint64 * 9),
    ]


class Report(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("pause_reason", c_int32),
        *((name, c_uint64) for name in ("delivered", "rejected", "expired", "pending", "in_doubt")),
        ("paused_since_ms", c_int64),
        ("next_probe_ms", c_int64),
    ]


class Erasure(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("is_complete", c_uint32),
        *((name, c_uint64) for name in ("pending", "rejected", "receipts", "in_flight", "files_left")),
    ]


class Histogram(Structure):
    _fields_ = [("count", c_uint64), ("sum_us", c_uint64), ("buckets", c_uint64 * 15)]


class Stats(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("pause_reason", c_int32),
        *((name, c_uint64) for name in ("enqueued", "delivered", "rejected", "expired", "pending", "in_doubt")),
        *((name, c_uint64) for name in ("requests", "retried_requests", "refused_requests", "isolation_requests")),
        *((name, c_int64) for name in ("paused_since_ms", "next_probe_ms")),
        *((name, c_uint64) for name in ("journal_bytes", "segments", "damaged_records")),
        *((name, c_int64) for name in ("oldest_pending_ms", "sender_seen_ms", "sender_pid")),
        *((name, c_uint64) for name in ("torn_tails", "lost", "delivered_requests", "too_large_requests")),
        *((name, c_uint64) for name in ("postponed_requests", "in_doubt_requests", "pausing_requests")),
        *((name, c_uint64) for name in ("sent_bytes", "pauses")),
        *((name, Histogram) for name in ("enqueue", "request", "delivery")),
        *((name, c_int64) for name in ("answered_ms", "accepted_ms")),
        *((name, c_uint64) for name in ("store_unreadable", "damage_unacknowledged")),
    ]


class LogRecord(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("level", c_int32),
        ("time_ms", c_int64),
        ("message", c_char * 512),
    ]


class Row(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("http_status", c_int32),
        *((name, c_int64) for name in ("id", "first_ms", "last_ms")),
        ("attempts", c_uint32),
        ("reason", c_int32),
        ("event_json", c_char_p),
        ("event_json_len", c_size_t),
        ("api_code", c_char_p),
        ("message", c_char_p),
    ]


class Filter(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("reason", c_int32),
        ("partner_user_id", c_char_p),
        ("api_code", c_char_p),
        *((name, c_int64) for name in ("from_ms", "until_ms", "after_id")),
    ]


class Receipt(Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("http_status", c_int32),
        *((name, c_int64) for name in ("id", "time_ms")),
        *((name, c_uint32) for name in ("attempts", "events", "register_events", "signin_events", "audio_events")),
        *((name, c_uint32) for name in ("video_events", "content_events", "users")),
        ("users_json", c_char_p),
        ("users_json_len", c_size_t),
    ]


def sized(struct: Any) -> Any:
    """A blank struct of this type that says how long it is."""
    return struct(struct_size=sizeof(struct))


_HANDLE = c_void_p
_OUT = POINTER(c_void_p)
_COUNT = POINTER(c_size_t)
_ERROR = POINTER(Error)
_FILTER = POINTER(Filter)
_IDS = (_HANDLE, POINTER(c_int64), c_size_t, _COUNT, _ERROR)
_MATCHING = (_HANDLE, _FILTER, _COUNT, _ERROR)

#: Of each function, without `meditopia_`: what it returns and what it takes.
SIGNATURES: Dict[str, Tuple[Any, Tuple[Any, ...]]] = {
    "version": (c_char_p, ()),
    "text_data": (c_void_p, (_HANDLE,)),
    "text_len": (c_size_t, (_HANDLE,)),
    "text_free": (None, (_HANDLE,)),
    "config_new": (c_void_p, ()),
    "config_set": (c_int32, (_HANDLE, c_char_p, c_char_p, _ERROR)),
    "config_get": (c_int32, (_HANDLE, c_char_p, _OUT, _ERROR)),
    "config_load_env": (c_int32, (_HANDLE, _ERROR)),
    "config_load_file": (c_int32, (_HANDLE, c_char_p, _ERROR)),
    "config_free": (None, (_HANDLE,)),
    "client_open": (c_int32, (_HANDLE, _OUT, _ERROR)),
    "flush": (c_int32, (_HANDLE, c_uint32, POINTER(Report), _ERROR)),
    "client_close": (c_int32, (_HANDLE, c_uint32, POINTER(Report), _ERROR)),
    "client_free": (None, (_HANDLE,)),
    "set_bearer_token": (c_int32, (_HANDLE, c_char_p, _ERROR)),
    "hold": (c_int32, (_HANDLE, _ERROR)),
    "resume": (c_int32, (_HANDLE, _ERROR)),
    # The error by its address: the hot path keeps its structs, and an address is the cheapest to pass.
    "enqueue_n": (c_int32, (_HANDLE, *(c_char_p, c_size_t) * 5, c_void_p)),
    "enqueue_json": (c_int32, (_HANDLE, c_char_p, c_size_t, _COUNT, _ERROR)),
    "get_stats": (c_int32, (_HANDLE, POINTER(Stats), _ERROR)),
    "stats_text": (c_int32, (_HANDLE, c_int32, _OUT, _ERROR)),
    "log_next": (c_int32, (_HANDLE, POINTER(LogRecord), _ERROR)),
    "rejected_find": (c_int32, (_HANDLE, _FILTER, _OUT, _ERROR)),
    "in_doubt_open": (c_int32, (_HANDLE, c_int64, _OUT, _ERROR)),
    "cursor_next": (c_int32, (_HANDLE, POINTER(Row), _ERROR)),
    "cursor_free": (None, (_HANDLE,)),
    "pending_open": (c_int32, (_HANDLE, c_char_p, c_int64, _OUT, _ERROR)),
    "receipts_open": (c_int32, (_HANDLE, c_char_p, c_int64, c_int64, c_int64, _OUT, _ERROR)),
    "receipts_next": (c_int32, (_HANDLE, POINTER(Receipt), _ERROR)),
    "receipts_free": (None, (_HANDLE,)),
    "sender_seen": (c_int32, (_HANDLE, POINTER(c_int64), POINTER(c_int32), _ERROR)),
    "rejected_requeue": (c_int32, _IDS),
    "rejected_requeue_matching": (c_int32, _MATCHING),
    "rejected_discard": (c_int32, _IDS),
    "rejected_discard_matching": (c_int32, _MATCHING),
    "rejected_export": (c_int32, (_HANDLE, _FILTER, c_char_p, _COUNT, _ERROR)),
    "in_doubt_set_aside": (c_int32, _IDS),
    "forget_user": (c_int32, (_HANDLE, c_char_p, c_uint32, POINTER(Erasure), _ERROR)),
}

_ROWS = ("cursor_next", "cursor_free", Row)
#: How each list is opened, walked and freed, and what its rows are.
LISTS: Dict[str, Tuple[str, str, str, Any]] = {
    "rejected": ("rejected_find", *_ROWS),
    "in_doubt": ("in_doubt_open", *_ROWS),
    "pending": ("pending_open", *_ROWS),
    "receipts": ("receipts_open", "receipts_next", "receipts_free", Receipt),
}
