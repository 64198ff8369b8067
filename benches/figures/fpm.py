"""php-fpm as a site runs it: a master, its workers, and a web server's side of FastCGI.

The socket lies in a directory of its own, because its path may have no more than 107 bytes.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

#: Of FastCGI: version, type, request, content length, padding, reserved.
HEADER = struct.Struct(">BBHHBB")
BEGIN, END, PARAMS, STDIN, STDOUT, STDERR = 1, 3, 4, 5, 6, 7
RESPONDER, KEEP_CONNECTION = 1, 1
#: How every answer ends: this, and 8 bytes of status.
END_HEADER = HEADER.pack(1, END, 1, 8, 0, 0)

START_LIMIT_S = 10


def find() -> str:
    """Debian's has the version of PHP in its name, and is not where users look for commands."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin"])
    named = [f"php-fpm{minor}" for minor in ("", "8.5", "8.4", "8.3", "8.2", "8.1")]
    found = next(filter(None, (shutil.which(name, path=path) for name in named)), None)
    if found is None:
        raise FileNotFoundError("php-fpm is not installed")
    return found


class Fpm:
    """One pool of one worker; `settings` are lines of its php.ini. The system's php.ini is not read."""

    def __init__(self, directory: Path, settings: Mapping[str, object], *, requests_per_worker: int = 0) -> None:
        self.directory = directory
        self.sockets = Path(tempfile.mkdtemp(prefix="fpm-"))
        self.socket_path = self.sockets / "sock"
        self.log = directory / "fpm.log"
        self.client: socket.socket | None = None
        self._write_files(settings, requests_per_worker)
        root = os.geteuid() == 0
        # A failure of the preload is told there, before there is a log.
        with self.log.open("ab") as log:
            self.master = subprocess.Popen(
                [find(), "-F", *(["-R"] if root else []), "-c", directory / "php.ini", "-y", directory / "fpm.conf"],
                env={**os.environ, "PHP_INI_SCAN_DIR": ""},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _write_files(self, settings: Mapping[str, object], requests_per_worker: int) -> None:
        root = os.geteuid() == 0
        lines = [
            "zend_extension = opcache",
            "extension = ffi",
            "opcache.enable = 1",
            "opcache.validate_timestamps = 0",
            *(["opcache.preload_user = root"] if root else []),
            "display_errors = 1",
            *(f"{key} = {value}" for key, value in settings.items()),
        ]
        (self.directory / "php.ini").write_text("\n".join([*lines, ""]))
        (self.directory / "fpm.conf").write_text(
            f"[global]\nerror_log = {self.log}\n"
            f"[bench]\nlisten = {self.socket_path}\npm = static\npm.max_children = 1\n"
            f"pm.max_requests = {requests_per_worker}\n" + ("user = root\ngroup = root\n" if root else "")
        )

    def __enter__(self) -> Fpm:
        deadline = time.monotonic() + START_LIMIT_S
        while not (self.socket_path.exists() and self._workers()):
            if self.master.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(f"php-fpm did not start; its log says: {self.log.read_text()}")
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        if self.master.poll() is None:
            self.master.send_signal(signal.SIGTERM)
            try:
                self.master.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.master.pid, signal.SIGKILL)
                self.master.wait()
        shutil.rmtree(self.sockets, ignore_errors=True)

    def _workers(self) -> list[int]:
        try:
            children = Path(f"/proc/{self.master.pid}/task/{self.master.pid}/children").read_text()
        except FileNotFoundError:
            return []
        return [int(pid) for pid in children.split()]

    def idle_worker(self, not_this: int = 0) -> int:
        """Waits until a worker sleeps, which it does where it accepts; another one than `not_this`."""
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            for worker in self._workers():
                if worker != not_this and _sleeps(worker):
                    return worker
            time.sleep(0.001)
        raise RuntimeError(f"no fresh worker came; the log says: {self.log.read_text()}")

    def connect(self) -> None:
        self.hang_up()
        self.client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.client.connect(str(self.socket_path))

    def hang_up(self) -> None:
        if self.client is not None:
            self.client.close()
            self.client = None

    def ask(self, request: bytes) -> tuple[float, bytes]:
        """Sends a request, waits for the whole answer: microseconds, and what was answered.

        Goes on with the connection that is open; opens one, and counts that, if there is none.
        """
        answer = b""
        start = time.perf_counter_ns()
        if self.client is None:
            self.connect()
        self.client.sendall(request)
        while answer[-16:-8] != END_HEADER:
            part = self.client.recv(65536)
            if not part:
                raise RuntimeError(f"php-fpm hung up: {answer!r}; its log says: {self.log.read_text()}")
            answer += part
        return (time.perf_counter_ns() - start) / 1_000, answer


def request(script: Path, params: Mapping[str, str]) -> bytes:
    """The bytes of a GET as nginx would send it, on a connection that is kept."""
    values = {
        "SCRIPT_FILENAME": str(script),
        "SCRIPT_NAME": f"/{script.name}",
        "REQUEST_METHOD": "GET",
        "REQUEST_URI": f"/{script.name}",
        "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        **params,
    }
    pairs = b"".join(_length(key) + _length(value) + f"{key}{value}".encode() for key, value in values.items())
    return (
        _record(BEGIN, struct.pack(">HB5x", RESPONDER, KEEP_CONNECTION))
        + _record(PARAMS, pairs)
        + _record(PARAMS, b"")
        + _record(STDIN, b"")
    )


def body(answer: bytes) -> str:
    """What the script printed, and what PHP wrote to its error stream."""
    output, at = b"", 0
    while at < len(answer):
        _, kind, _, length, padding, _ = HEADER.unpack_from(answer, at)
        at += HEADER.size
        if kind in (STDOUT, STDERR):
            output += answer[at : at + length]
        at += length + padding
    return output.partition(b"\r\n\r\n")[2].decode(errors="replace")


def _record(kind: int, content: bytes) -> bytes:
    return HEADER.pack(1, kind, 1, len(content), 0, 0) + content


def _length(text: str) -> bytes:
    length = len(text.encode())
    return bytes([length]) if length < 128 else struct.pack(">I", length | 0x80000000)


def _sleeps(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"
    except (FileNotFoundError, ProcessLookupError):
        return False
