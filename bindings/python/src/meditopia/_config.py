"""Options: Python's values become the library's texts; what they may be is for the library to judge.

A secret is wrapped before anything can fail, because tools that report errors print the local variables
of every function that an exception came through.
"""

from __future__ import annotations

import os
from ctypes import byref
from datetime import timedelta
from enum import Enum
from typing import Any, Dict, Mapping, Optional

from ._abi import Error
from ._errors import ConfigError
from ._library import Library, c_text, exception_of


class Secret:
    """A text that no repr shows."""

    __slots__ = ("_text",)

    def __init__(self, text: Any) -> None:
        self._text = text

    @classmethod
    def of(cls, text: Any) -> Optional[Secret]:
        return None if text is None else cls(text)

    def reveal(self) -> Any:
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> Any:
        raise TypeError("a secret is not pickled")


def encoded(key: str, value: Any) -> bytes:
    """The value of an option as the library takes it."""
    if isinstance(value, Secret):
        return _encoded_secret(key, value)
    if isinstance(value, timedelta):
        return _whole(key, value)
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, int):
        return str(value).encode()
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    return c_text(key, value)


def _encoded_secret(key: str, value: Secret) -> bytes:
    if not isinstance(value.reveal(), str):
        raise ConfigError(f"config: {key} is not a str")
    if not value.reveal().isascii() or "\0" in value.reveal():
        raise ConfigError(f"config: {key} holds a character that is not printable ASCII")
    encoded: bytes = value.reveal().encode()
    return encoded


def _whole(key: str, value: timedelta) -> bytes:
    """A time in the unit that the key ends with. A fraction is refused, because 0 often means never."""
    unit = timedelta(milliseconds=1) if key.endswith("_ms") else timedelta(seconds=1)
    if not key.endswith(("_ms", "_s")) or key == "max_requests_per_s":
        raise ConfigError(f"config: {key} is not a time; got the timedelta {value}")
    count, rest = divmod(value, unit)
    if rest:
        unit_name = "milliseconds" if key.endswith("_ms") else "seconds"
        raise ConfigError(f"config: {key}: {value} is not a whole number of {unit_name}")
    return str(count).encode()


def set_secretly(library: Library, function: str, handle: Any, key: str, value: Any) -> None:
    """Sets one option without ever having its text in a local variable."""
    error = Error()
    keys = (key.encode(),) if function == "config_set" else ()
    if getattr(library, function)(handle, *keys, encoded(key, value), byref(error)) < 0:
        raise exception_of(error)


def open_client(library: Library, options: Mapping[str, Any], file: Optional[str], from_env: bool) -> Dict[str, Any]:
    """Opens a client: its handle, and what a repr may show. Of file, environment and options the later wins."""
    config = library.config_new()
    try:
        if file is not None:
            library.call("config_load_file", config, c_text("config_file", file))
        if from_env:
            library.call("config_load_env", config)
        for key, value in options.items():
            if value is not None:
                set_secretly(library, "config_set", config, key, value)
        shown = {key: library.text("config_get", config, key.encode()) for key in ("spool", "role", "durability")}
        return {"handle": library.make("client_open", config), **shown}
    finally:
        library.config_free(config)
