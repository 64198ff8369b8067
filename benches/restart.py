"""How long `meditopia run` takes to start where 10,000,000 events wait: python3 restart.py [EVENTS].

Needs a release build (`make`, `cargo build --release -p meditopia-cli`) and 4 GB of disk. Prints, for each start, when
systemd's READY=1 came, when `/metrics` answered, and when the journal was taken over or the first event delivered.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RELEASE = ROOT / "target" / "release"
METRICS = "127.0.0.1:19464"


def metrics():
    try:
        text = urllib.request.urlopen(f"http://{METRICS}/metrics", timeout=30).read().decode()
    except OSError:
        return {}
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#")
    return {name.split("{")[0]: float(value) for name, value in lines}


class Service:
    def __init__(self, config, directory):
        path = directory / "notify"
        path.unlink(missing_ok=True)
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(str(path))
        notify.settimeout(600)
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [RELEASE / "meditopia", "run", "--config", config, "--listen", METRICS],
            env={**os.environ, "NOTIFY_SOCKET": str(path)},
            stderr=subprocess.DEVNULL,
        )
        while b"READY=1" not in notify.recv(4096):
            pass
        self.say("READY=1")

    def say(self, what):
        print(f"  {what} after {time.monotonic() - self.started:.3f} s, load {os.getloadavg()[0]:.1f}", flush=True)

    def wait(self, what, reached):
        while not ((found := metrics()) and reached(found)):
            time.sleep(0.02)
        self.say(what)

    def end(self, how):
        begun = time.monotonic()
        self.process.send_signal(how)
        self.process.wait()
        print(f"  ended {time.monotonic() - begun:.3f} s after {how.name}", flush=True)


def main(events):
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as name:
        directory = Path(name)
        spool, config, enqueue = directory / "spool", directory / "meditopia.toml", directory / "enqueue"
        sandbox = subprocess.Popen(
            [RELEASE / "meditopia", "sandbox"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        endpoint = sandbox.stdout.readline().split('"url":"')[1].split('"')[0]
        config.write_text(f'spool = "{spool}"\nendpoint = "{endpoint}"\nbearer_token = "sandbox-token"\n')
        source = ROOT / "benches" / "c" / "restart_enqueue.c"
        flags = [f"-I{ROOT / 'include'}", f"-L{RELEASE}", "-lmeditopia", f"-Wl,-rpath,{RELEASE}"]
        subprocess.run(["cc", "-O2", source, "-o", enqueue, *flags], check=True)
        subprocess.run([enqueue, spool, endpoint, "1"], check=True)
        subprocess.run([RELEASE / "meditopia", "hold", spool], check=True)
        subprocess.run([enqueue, spool, endpoint, str(events)], check=True)

        print("start with all of it in the journal, held")
        service = Service(config, directory)
        service.wait("/metrics", lambda _: True)
        service.wait("taken over", lambda found: found["meditopia_journal_bytes"] == 0)
        for _ in range(3):
            service.end(signal.SIGKILL)
            print("start with all of it taken over, held")
            service = Service(config, directory)
            service.wait("/metrics", lambda _: True)
        service.end(signal.SIGTERM)
        subprocess.run([RELEASE / "meditopia", "resume", spool], check=True)
        for how in (signal.SIGKILL, signal.SIGKILL):
            before = metrics().get("meditopia_events_delivered_total", 0)
            print("start with all of it taken over")
            service = Service(config, directory)
            service.wait("delivered", lambda found: found["meditopia_events_delivered_total"] > before)
            time.sleep(1)
            service.end(how)
        sandbox.stdin.close()
        sandbox.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000)
