"""Finds libmeditopia, checks that it is of a version that this package can use, and calls it.

Where it is looked for: the path that the caller gave; else MEDITOPIA_LIBRARY; else beside this file,
where the wheel has it; else wherever the loader finds libmeditopia.so.0. Whoever names a file means it:
if that one cannot be loaded, no other is tried.
"""

from __future__ import annotations

import os
import platform
import re
import sys
import threading
from ctypes import CDLL, byref, c_size_t, c_uint32, c_void_p, string_at
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

from . import _abi
from ._errors import BY_STATUS, InternalError, InvalidArgument, LibraryError, MeditopiaError
from ._records import PauseReason
from ._version import __version__

FILE_NAME = "libmeditopia.so.0"
VARIABLE = "MEDITOPIA_LIBRARY"

_loaded: Dict[str, Library] = {}
_loading = threading.Lock()


class Library:
    """A loaded libmeditopia; its functions are attributes, by their names without `meditopia_`."""

    def __init__(self, path: str, loaded: CDLL) -> None:
        self.path = path
        for name, (result, arguments) in _abi.SIGNATURES.items():
            function = getattr(loaded, f"meditopia_{name}")
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise AttributeError(f"libmeditopia: no function {name}")

    def call(self, name: str, *arguments: Any) -> int:
        """Calls what takes an error as its last argument; raises what the status says."""
        error = _abi.Error()
        status: int = getattr(self, name)(*arguments, byref(error))
        if status < 0:
            raise exception_of(error)
        return status

    def count(self, name: str, *arguments: Any) -> int:
        """The same for what also says how many, in the argument before the error."""
        count = c_size_t()
        self.call(name, *arguments, byref(count))
        return count.value

    def make(self, name: str, *arguments: Any) -> int:
        """The same for what gives a new handle in the argument before the error."""
        handle = c_void_p()
        self.call(name, *arguments, byref(handle))
        return handle.value or 0

    def text(self, name: str, *arguments: Any) -> str:
        """The same for what gives a text."""
        text = self.make(name, *arguments)
        try:
            return string_at(self.text_data(text), self.text_len(text)).decode()
        finally:
            self.text_free(text)


def exception_of(error: Any) -> MeditopiaError:
    """What a filled-in `meditopia_error` is in Python."""
    kind = BY_STATUS.get(error.status, InternalError)
    details: Dict[str, Any] = {"retryable": error.retryable == 1}
    if error.http_status:
        details["http_status"] = error.http_status
    if error.api_code:
        details["api_code"] = error.api_code.decode()
    if error.event_index >= 0:
        details["event_index"] = error.event_index
    if error.pause_reason:
        details["pause_reason"] = PauseReason(error.pause_reason)
    return kind(error.message.decode(), **details)


def c_text(name: str, text: str) -> bytes:
    """A string for C, which would take a NUL inside for its end."""
    if not isinstance(text, str):
        raise InvalidArgument(f"{name}: is not a str but a {type(text).__name__}")
    if "\0" in text:
        raise InvalidArgument(f"{name}: holds a NUL character")
    try:
        # As Python does for paths that are not UTF-8; the library then says what it thinks of them.
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        pass
    raise InvalidArgument(f"{name}: holds half a character (a lone surrogate)")


def load(path: Union[str, os.PathLike[str], None] = None) -> Library:
    """The library, loaded once for each place."""
    key = os.fspath(path) if path is not None else ""
    with _loading:
        if key not in _loaded:
            _loaded[key] = _find(key)
        return _loaded[key]


def _find(explicit: str) -> Library:
    tried: List[str] = []
    for name, why in _places(explicit):
        try:
            loaded = CDLL(name)
        except OSError as cause:
            tried.append(f"{name} ({why}): {cause}")
        else:
            return _checked(name, why, loaded)
    raise LibraryError(
        "libmeditopia cannot be loaded. Tried:\n  " + "\n  ".join(tried) + "\n" + _advice("\n".join(tried))
    )


def _advice(said: str) -> str:
    """What the words of the loader mean, and what to do."""
    instead = "Client.disabled() and meditopia.testing work without it."
    if sys.platform != "linux":
        return f"libmeditopia is for Linux; this is {sys.platform}. {instead}"
    if "__register_atfork" in said or "ld-linux" in said or "Error relocating" in said:
        return f"This system has musl (Alpine); libmeditopia needs glibc: take an image with Debian or Ubuntu. {instead}"
    newer = re.search(r"version `(GLIBC_[0-9.]+)' not found", said)
    if newer:
        return f"The glibc of this system is older than {newer.group(1)}: build the wheel on the oldest system you serve."
    if "wrong ELF class" in said or "cannot open shared object file: Exec format" in said:
        return f"The file is for another processor than this {platform.machine()}. {instead}"
    return f"The wheel for manylinux has it inside; else set {VARIABLE} to the full path of {FILE_NAME}. {instead}"


def _places(explicit: str) -> List[Tuple[str, str]]:
    if explicit:
        return [(explicit, "given as library=")]
    environment = os.environ.get(VARIABLE)
    if environment:
        return [(environment, f"from {VARIABLE}")]
    beside = Path(__file__).with_name(FILE_NAME)
    return [(str(beside), "beside the package"), (FILE_NAME, "by the loader")]


def _checked(name: str, why: str, loaded: CDLL) -> Library:
    """Compares versions before anything else is called: a struct of another major may be laid out differently."""
    needed = f"meditopia {__version__} in {Path(__file__).parent} needs ABI {_abi.ABI_MAJOR}.{_abi.ABI_MINOR}"
    try:
        version_of = loaded.meditopia_abi_version
    except AttributeError:
        raise LibraryError(f"{name} ({why}) is not libmeditopia: it has no meditopia_abi_version. {needed}") from None
    version_of.restype = c_uint32
    major, minor = divmod(version_of(), 1 << 16)
    if major != _abi.ABI_MAJOR or minor < _abi.ABI_MINOR:
        raise LibraryError(
            f"{name} ({why}) has ABI {major}.{minor}, but {needed} or a later {_abi.ABI_MAJOR}.x. "
            f"Install the package and the library of one release, or let {VARIABLE} name another file."
        )
    return Library(name, loaded)


def version(path: Optional[str] = None) -> str:
    """The version of the library, such as "0.2.0"."""
    text: bytes = load(path).version()
    return text.decode()
