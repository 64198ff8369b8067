"""The API's stand-in: a real nginx on loopback that takes every request and keeps none.

    with sink() as api:                    # or sink(delay_ms=50), sink(tls=True)
        run([program, api.url, ...])
        assert api.requests() >= 2_000

`url` answers 204, as the Partners API does. Every other path, below `origin`, answers 200 with `{}`, which is
what the Python clients of other companies wait for. With `tls` the certificate is for 127.0.0.1 and localhost,
signed by `ca_file`. nginx is not below any contender, so its CPU is counted to nobody.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .workshop import scratch

PATH = "/default/v1/events"
#: nginx's own default, and what it would set again.
LISTEN_BACKLOG = 511
START_S = 10
PR_SET_PDEATHSIG = 1

CONFIG = """
load_module {echo_module};
daemon off;
worker_processes 1;
pid {place}/nginx.pid;
error_log {place}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {place}/body;
  proxy_temp_path {place}/proxy;
  fastcgi_temp_path {place}/fastcgi;
  uwsgi_temp_path {place}/uwsgi;
  scgi_temp_path {place}/scgi;
  client_max_body_size 0;
  client_body_buffer_size 1m;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  tcp_nodelay on;
  default_type application/json;
  server {{
    listen 127.0.0.1:{port};
    {tls}
    # As an API does, it reads the events before it answers; a mere `return` would not.
    location = {path} {{ echo_read_request_body; {sleep} echo_exec @accepted; }}
    location @accepted {{ return 204; }}
    location = /status {{ stub_status; }}
    location / {{ return 200 "{{}}"; }}
  }}
}}
"""


@dataclass
class Sink:
    """An nginx that is running."""

    #: What events are posted to.
    url: str
    #: Scheme, host and port, without a path.
    origin: str
    #: What to trust if the sink speaks TLS.
    ca_file: Path | None
    status_url: str
    _asked: int = field(default=0)

    def requests(self) -> int:
        """The requests so far, this question apart."""
        with urllib.request.urlopen(self.status_url, timeout=1) as page:
            text = page.read().decode()
        self._asked += 1
        # The line under "server accepts handled requests".
        return int(re.search(r"^ \d+ \d+ (\d+)", text, re.MULTILINE)[1]) - self._asked


@contextmanager
def sink(delay_ms: int = 0, tls: bool = False) -> Iterator[Sink]:
    """An nginx of its own for the time of the block."""
    with scratch() as place, listener() as plain, listener() as secure:
        port, tls_port = plain.getsockname()[1], secure.getsockname()[1]
        ca_file = certificate(place) if tls else None
        sleep = f"echo_sleep {delay_ms / 1000};" if delay_ms else ""
        config = place / "nginx.conf"
        config.write_text(
            CONFIG.format(
                place=place,
                echo_module=echo_module(),
                port=port,
                tls=f"listen 127.0.0.1:{tls_port} ssl;\nssl_certificate server.pem;\nssl_certificate_key server.key;\n"
                "ssl_session_cache shared:tls:1m;" if tls else "",
                path=PATH,
                sleep=sleep,
            )
        )
        process = start(place, config, [plain, secure] if tls else [plain])
        # Else a connection would be taken, and never answered, after nginx has gone.
        plain.close()
        secure.close()
        origin = f"https://127.0.0.1:{tls_port}" if tls else f"http://127.0.0.1:{port}"
        api = Sink(origin + PATH, origin, ca_file, f"http://127.0.0.1:{port}/status")
        try:
            wait_until_it_answers(api, process, place)
            yield api
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()


def listener() -> socket.socket:
    """A listening socket on a port that the kernel chose. nginx inherits it, so nobody can take the port between."""
    made = socket.create_server(("127.0.0.1", 0), backlog=LISTEN_BACKLOG)
    made.set_inheritable(True)
    return made


def start(place: Path, config: Path, listeners: list[socket.socket]) -> subprocess.Popen:
    libc = ctypes.CDLL(None)
    descriptors = [made.fileno() for made in listeners]
    return subprocess.Popen(
        [nginx(), "-p", place, "-c", config],
        # How a new nginx binary is handed the sockets of the old one.
        env={**os.environ, "NGINX": "".join(f"{descriptor};" for descriptor in descriptors)},
        pass_fds=descriptors,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(place / "stderr").open("wb"),
        start_new_session=True,
        # It ends with the harness, also when that is killed, and then ends its worker.
        preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM),
    )


def wait_until_it_answers(api: Sink, process: subprocess.Popen, place: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            # The kernel accepts connections from the beginning; only an answer says that nginx is there.
            api.requests()
            return
        except OSError as problem:
            if process.poll() is not None or time.monotonic() > deadline:
                said = (place / "stderr").read_text(errors="replace")
                raise RuntimeError(f"nginx does not answer: {problem}\n{said}") from problem
            time.sleep(0.02)


def nginx() -> str:
    """Debian keeps it where only root's PATH goes."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise RuntimeError("nginx is not installed: apt-get install nginx libnginx-mod-http-echo")
    return found


def echo_module() -> Path:
    """The module that can read, and wait, before it answers (`libnginx-mod-http-echo`)."""
    said = subprocess.run([nginx(), "-V"], stderr=subprocess.PIPE, text=True, check=True).stderr
    directory = re.search(r"--modules-path=(\S+)", said)
    module = Path(directory[1] if directory else "/usr/lib/nginx/modules") / "ngx_http_echo_module.so"
    if not module.exists():
        raise RuntimeError(f"{module} is missing: apt-get install libnginx-mod-http-echo")
    return module


def certificate(place: Path) -> Path:
    """Makes an authority and a server certificate signed by it: a self-signed one may not be both. Returns the authority's."""
    openssl = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    authority = ["-subj", "/CN=sink authority", "-keyout", "ca.key", "-out", "ca.pem"]
    server = ["-CA", "ca.pem", "-CAkey", "ca.key", "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.pem"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
    for arguments in (authority, [*server, *names]):
        subprocess.run([*openssl, *arguments], cwd=place, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return place / "ca.pem"
