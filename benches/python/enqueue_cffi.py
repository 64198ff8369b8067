"""Enqueues events through cffi in ABI mode: the flat header is read as it is, and nothing is compiled.

    python3 enqueue_cffi.py LIBRARY HEADER DIRECTORY EVENTS
"""

import sys
from pathlib import Path

from cffi import FFI
from loop import EVENT, report


class Client:
    def __init__(self, path: str, header: str, **options: str) -> None:
        self._ffi = ffi = FFI()
        ffi.cdef(Path(header).read_text())
        self._library = library = ffi.dlopen(path)
        self._error = ffi.new("meditopia_error *")

        config = library.meditopia_config_new()
        for key, value in options.items():
            self._succeed(library.meditopia_config_set(config, key.encode(), value.encode(), self._error))
        client = ffi.new("meditopia_client **")
        self._succeed(library.meditopia_client_open(config, client, self._error))
        library.meditopia_config_free(config)
        self._client = client[0]
        self._enqueue_n = library.meditopia_enqueue_n
        self._null = ffi.NULL

    def enqueue(self, token: str, user: str, event: str, value: str) -> None:
        token_, user_, event_, value_ = token.encode(), user.encode(), event.encode(), value.encode()
        status = self._enqueue_n(
            self._client,
            token_, len(token_), user_, len(user_), event_, len(event_), value_, len(value_), self._null, 0,
            self._error,
        )  # fmt: skip
        if status < 0:
            self._succeed(status)

    def _succeed(self, status: int) -> None:
        if status < 0:
            raise OSError(status, self._ffi.string(self._error.message).decode())


if __name__ == "__main__":
    library, header, directory, events = sys.argv[1:]
    client = Client(library, header, spool=f"{directory}/spool", role="enqueue")
    report(lambda: client.enqueue(*EVENT), int(events))
