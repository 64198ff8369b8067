"""Copies a library under another version, of its interface and of its own: relabel.py LIBRARY OUT ABI_MINOR VERSION

What is copied is a whole library, with its own threads and state; two numbers in it are written anew.
"""

import ctypes
import platform
import sys
from pathlib import Path

library, out, minor, version = sys.argv[1:]
loaded = ctypes.CDLL(library)


def place(address):
    """Where in the file a byte is that is mapped here."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        area, _, offset, *_ = line.split()
        begin, end = (int(number, 16) for number in area.split("-"))
        if begin <= address < end and line.endswith(str(Path(library).resolve())):
            return address - begin + int(offset, 16)
    raise SystemExit(f"{library}: {address:x} is not mapped")


content = bytearray(Path(library).read_bytes())
function = place(ctypes.cast(loaded.meditopia_abi_version, ctypes.c_void_p).value)
# The function returns at once: `mov eax, MINOR; ret`, or the same on aarch64.
instructions = {
    "x86_64": b"\xb8" + int(minor).to_bytes(4, "little") + b"\xc3",
    "aarch64": (0x52800000 | int(minor) << 5).to_bytes(4, "little") + bytes.fromhex("c0035fd6"),
}[platform.machine()]
content[function : function + len(instructions)] = instructions
loaded.meditopia_version.restype = ctypes.c_void_p
text = place(loaded.meditopia_version())
own = ctypes.string_at(loaded.meditopia_version())
if len(own) != len(version):
    raise SystemExit(f"{version} is not as long as {own.decode()}")
content[text : text + len(own)] = version.encode()
Path(out).write_bytes(content)
