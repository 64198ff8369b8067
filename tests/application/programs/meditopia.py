"""The library through ctypes: the functions that the programs beside this file need."""

import ctypes
import os
import time


class Error(ctypes.Structure):
    _fields_ = [
        ("status", ctypes.c_int32),
        ("http_status", ctypes.c_int32),
        ("retryable", ctypes.c_int32),
        ("pause_reason", ctypes.c_int32),
        ("event_index", ctypes.c_int64),
        ("api_code", ctypes.c_char * 32),
        ("message", ctypes.c_char * 512),
        ("reserved", ctypes.c_uint64 * 9),
    ]


class Client:
    """Opened once, before any fork; writes down what was acknowledged."""

    def __init__(self, library, config_file, acknowledged):
        self.library = ctypes.CDLL(library)
        self.library.meditopia_config_new.restype = ctypes.c_void_p
        self.error = Error()
        self.acknowledged = os.open(acknowledged, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.pid = None
        config = ctypes.c_void_p(self.library.meditopia_config_new())
        self.handle = ctypes.c_void_p()
        self.succeed("meditopia_config_load_file", config, config_file.encode())
        self.succeed("meditopia_client_open", config, ctypes.byref(self.handle))

    def succeed(self, function, *arguments):
        status = getattr(self.library, function)(*arguments, ctypes.byref(self.error))
        if status < 0:
            raise RuntimeError(f"{function}: {self.error.message.decode()}")

    def enqueue(self):
        """The next event of this process, a user of its own."""
        if self.pid != os.getpid():
            self.pid = os.getpid()
            self.user = f"{self.pid}-{time.monotonic_ns()}"
            self.number = 0
        user, value = self.user.encode(), str(self.number).encode()
        self.succeed(
            "meditopia_enqueue", self.handle, b"token", user, b"video", value, b"2024-08-06 15:04:05"
        )
        os.write(self.acknowledged, f"{self.user} {self.number}\n".encode())
        self.number += 1

    def flush(self):
        self.succeed("meditopia_flush", self.handle, 60000, None)
