"""This library through ctypes, durable: deliver_meditopia.py LIBRARY SPOOL URL EVENTS"""

import ctypes
import sys
from ctypes import POINTER, byref, c_char_p, c_int32, c_size_t, c_uint32, c_void_p

from delivery import EVENT, VALUE, measure

LIBRARY, SPOOL, URL, EVENTS = sys.argv[1:]
#: sizeof(meditopia_error), and where its message begins.
ERROR_BYTES, MESSAGE_AT = 640, 56
LONGEST_MS = 0xFFFFFFFF

library = ctypes.CDLL(LIBRARY)
error = ctypes.create_string_buffer(ERROR_BYTES)


def function(name, *arguments, result=c_int32):
    found = getattr(library, name)
    found.argtypes, found.restype = arguments, result
    return found


def check(status):
    if status < 0:
        raise RuntimeError(error.raw[MESSAGE_AT:].split(b"\0")[0].decode())


new = function("meditopia_config_new", result=c_void_p)
configure = function("meditopia_config_set", c_void_p, c_char_p, c_char_p, c_char_p)
open_client = function("meditopia_client_open", c_void_p, POINTER(c_void_p), c_char_p)
flush = function("meditopia_flush", c_void_p, c_uint32, c_void_p, c_char_p)
close = function("meditopia_client_close", c_void_p, c_uint32, c_void_p, c_char_p)
enqueue_n = function("meditopia_enqueue_n", c_void_p, *[c_char_p, c_size_t] * 5, c_char_p)

config, client = new(), c_void_p()
for key, value in ("spool", SPOOL), ("endpoint", URL), ("bearer_token", "bench"):
    check(configure(config, key.encode(), value.encode(), error))
check(open_client(config, byref(client), error))

event, value = EVENT.encode(), VALUE.encode()


def enqueue(token, user):
    token, user = token.encode(), user.encode()
    status = enqueue_n(
        client, token, len(token), user, len(user), event, len(event), value, len(value), None, 0, error
    )
    if status < 0:
        check(status)


measure(int(EVENTS), enqueue, lambda: check(flush(client, LONGEST_MS, None, error)))
check(close(client, LONGEST_MS, None, error))
