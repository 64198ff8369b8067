"""The one wheel with each Python from 3.9 on that this machine has: pip installs it, and it delivers."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from local_api import PATIENCE_S

WHEEL = os.environ["MEDITOPIA_WHEEL"]
OLDEST, NEWEST = 9, 15

PROGRAM = """
import asyncio, sys, meditopia
options = {{**{options!r}, "spool": sys.argv[1]}}

async def work():
    async with meditopia.Client(**options) as client:
        client.enqueue(token="t", partner_user_id="u", event="video", event_value="0")
        await client.aenqueue_many([meditopia.Event("t", "u", "audio", "1")])
        assert (await client.aflush(30)).pending == 0 and client.stats.delivered == 2
        try:
            client.enqueue(token="t", partner_user_id="u", event="nap")
        except meditopia.InvalidEvent as error:
            assert "event" in str(error)

asyncio.run(work())
"""


def found(minor):
    """A Python of this version: on the path, or one of pyenv's. What stands on the path may be there and not run."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    places = [shutil.which(f"python3.{minor}"), *sorted(pyenv.glob(f"versions/3.{minor}.*/bin/python"))]
    for place in filter(None, places):
        if subprocess.run([place, "-c", "import pip"], stderr=subprocess.DEVNULL).returncode == 0:
            return place
    return None


def install(python, directory):
    """The wheel alone in a new directory, put there by this Python's own pip."""
    options = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-compile", f"--target={directory}"]
    run = subprocess.run([python, "-m", "pip", "install", *options, WHEEL], stderr=subprocess.PIPE, text=True)
    return run.returncode, run.stderr


@pytest.mark.parametrize("minor", range(OLDEST, NEWEST + 1))
def test_the_wheel_is_installed_and_delivers(api, tmp_path, minor):
    python = found(minor)
    if python is None:
        pytest.skip(f"no Python 3.{minor} here")
    assert install(python, tmp_path / "site")[0] == 0
    command = [python, "-W", "error", "-c", PROGRAM.format(options=api.options("spool")), tmp_path / "spool"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert api.arrived() == {"u": [0, 1]}


def test_an_older_python_is_told_that_it_is_too_old(tmp_path):
    python = found(OLDEST - 1)
    if python is None:
        pytest.skip(f"no Python 3.{OLDEST - 1} here")
    code, says = install(python, tmp_path / "site")
    assert code != 0 and f"requires a different Python: 3.{OLDEST - 1}" in says
