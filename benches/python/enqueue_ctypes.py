"""Enqueues events through ctypes, as a binding without compiled code does.

    python3 enqueue_ctypes.py LIBRARY DIRECTORY EVENTS
"""

import sys
from ctypes import CDLL, POINTER, Structure, byref, c_char, c_char_p, c_int32, c_int64, c_size_t, c_uint64, c_void_p

from loop import EVENT, report


class Error(Structure):
    _fields_ = [
        *((name, c_int32) for name in ("status", "http_status", "retryable", "pause_reason")),
        ("event_index", c_int64),
        ("api_code", c_char * 32),
        ("message", c_char * 512),
        ("reserved", c_uint64 * 9),
    ]


class Client:
    def __init__(self, path: str, **options: str) -> None:
        library = CDLL(path)
        self._error = error = Error()
        self._error_at = byref(error)

        config_new = library.meditopia_config_new
        config_new.restype = c_void_p
        config = c_void_p(config_new())
        for key, value in options.items():
            self._succeed(library.meditopia_config_set(config, key.encode(), value.encode(), self._error_at))
        self._client = c_void_p()
        self._succeed(library.meditopia_client_open(config, byref(self._client), self._error_at))
        library.meditopia_config_free(config)

        self._enqueue_n = library.meditopia_enqueue_n
        text = (c_char_p, c_size_t)
        self._enqueue_n.argtypes = (c_void_p, *text * 5, POINTER(Error))
        self._enqueue_n.restype = c_int32

    def enqueue(self, token: str, user: str, event: str, value: str) -> None:
        token_, user_, event_, value_ = token.encode(), user.encode(), event.encode(), value.encode()
        status = self._enqueue_n(
            self._client,
            token_, len(token_), user_, len(user_), event_, len(event_), value_, len(value_), None, 0,
            self._error_at,
        )  # fmt: skip
        if status < 0:
            self._succeed(status)

    def _succeed(self, status: int) -> None:
        if status < 0:
            raise OSError(status, self._error.message.decode())


if __name__ == "__main__":
    library, directory, events = sys.argv[1:]
    client = Client(library, spool=f"{directory}/spool", role="enqueue")
    report(lambda: client.enqueue(*EVENT), int(events))
