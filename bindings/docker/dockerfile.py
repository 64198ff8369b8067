"""Carries out the lines of a Dockerfile in a root directory, where there is no Docker and no image to pull.

    dockerfile.py build DOCKERFILE ROOT RELEASE            COPY, RUN, ENV, WORKDIR, USER in ROOT, which stands for the image of FROM
    dockerfile.py run DOCKERFILE ROOT VOLUME [COMMAND...]  CMD, or a command, restricted as compose.yaml says

`run` gives the command a root that cannot be written to, a /tmp of its own, VOLUME at the path of VOLUME, the user of USER, no
capabilities, process ids of its own, and this process's network. It needs root. What it is not: layers, an image, Docker.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    lines = [line for line in dockerfile.read_text().splitlines() if line.strip() and not line.startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in whole)]


class Image:
    """What the lines say besides what they do to the root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.user = "0:0"
        self.directory = "/"
        self.volume = ""
        self.command: list[str] = []
        self.environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/"}

    def note(self, word: str, rest: str) -> None:
        if word == "ENV":
            self.environment.update(part.split("=", 1) for part in shlex.split(rest))
        elif word == "WORKDIR":
            self.directory = rest
        elif word == "USER":
            self.user = rest
        elif word == "VOLUME":
            self.volume = rest
        elif word == "CMD":
            self.command = json.loads(rest)
        elif word not in ("FROM", "RUN", "COPY"):
            sys.exit(f"{word} is not understood here")

    def inside(self, path: str) -> Path:
        return self.root / (Path(self.directory) / path).as_posix().lstrip("/")

    def as_user(self, command: list[str], *more: str) -> list[str]:
        user, group = self.user.split(":")
        start = 'cd "$0" && exec "$@"'
        identity = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", *more]
        return ["/bin/sh", "-c", start, self.directory, *identity, *command]


def build(dockerfile: Path, root: Path, release: Path) -> None:
    image = Image(root)
    for word, rest in instructions(dockerfile):
        print(f"== {word} {rest}", flush=True)
        image.note(word, rest)
        if word == "WORKDIR":
            image.inside("").mkdir(parents=True, exist_ok=True)
        elif word == "COPY":
            copy(image, dockerfile.parent, release, rest.split())
        elif word == "RUN":
            script = image.as_user(["/bin/sh", "-c", rest])
            with_proc = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
            command = ["unshare", "--mount", "--fork", "/bin/sh", "-c", with_proc, str(root), *script]
            subprocess.run(command, env={**os.environ, **image.environment}, check=True)


def copy(image: Image, context: Path, release: Path, words: list[str]) -> None:
    if words[0] == "--from=release":
        context = release
        words = words[1:]
    elif words[0].startswith("--from="):
        # Another image. The root has to bring what that would.
        if not image.inside(words[-1]).exists():
            sys.exit(f"{words[-1]} has to be in the root already: there is no {words[0]}")
        return
    *sources, target = words
    found = [path for source in sources for path in sorted(context.glob(source))]
    if len(found) < len(sources):
        sys.exit(f"{context} does not have each of {sources}")
    into = image.inside(target)
    if target.endswith("/") or len(found) > 1:
        into.mkdir(parents=True, exist_ok=True)
    for path in found:
        if path.is_dir():
            shutil.copytree(path, into, dirs_exist_ok=True)
        else:
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, into)


#: $1 is the root, $2 the volume, $3 its path. The rest is the command.
MOUNTS = """
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount --bind "$2" "$1$3"
mount -t tmpfs tmpfs "$1/tmp"
mount -t proc proc "$1/proc"
mount -t tmpfs tmpfs "$1/dev"
mkdir "$1/dev/shm"; chmod 1777 "$1/dev/shm" "$1/tmp"
for device in null zero random urandom; do touch "$1/dev/$device"; mount --bind "/dev/$device" "$1/dev/$device"; done
ln -s /proc/self/fd "$1/dev/fd"; ln -s /proc/self/fd/2 "$1/dev/stderr"
mount -o remount,bind,ro "$1"
root=$1; shift 3
exec chroot "$root" "$@"
"""


def run(dockerfile: Path, root: Path, volume: Path, command: list[str]) -> None:
    image = Image(root)
    for word, rest in instructions(dockerfile):
        image.note(word, rest)
    if not any(volume.iterdir()):
        # As Docker does with an empty volume.
        below = root / image.volume.lstrip("/")
        shutil.copystat(below, volume)
        os.chown(volume, below.stat().st_uid, below.stat().st_gid)
    restricted = image.as_user(command or image.command, "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all")
    # As runc does, so that the user can open /proc/self/fd/2.
    user, group = map(int, image.user.split(":"))
    for stream in (1, 2):
        if not os.isatty(stream):
            os.fchown(stream, user, group)
    namespaces = ["unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
    given = {name: value for name, value in os.environ.items() if name.startswith("MEDITOPIA_")}
    os.execvpe(
        namespaces[0],
        [*namespaces, "/bin/sh", "-c", MOUNTS, "sh", str(root), str(volume), image.volume, *restricted],
        {**image.environment, **given},
    )


if __name__ == "__main__":
    action, dockerfile, root, third = sys.argv[1:5]
    if action == "build":
        build(Path(dockerfile), Path(root).resolve(), Path(third).resolve())
    else:
        run(Path(dockerfile), Path(root).resolve(), Path(third).resolve(), sys.argv[5:])
