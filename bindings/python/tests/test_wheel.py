"""The wheel: one for every Python 3, honest about its glibc, typed; installed in a fresh environment by test.sh."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import meditopia

PACKAGE = Path(meditopia.__file__).parent
ROOT = Path(__file__).parents[3]

PROGRAM = """
from __future__ import annotations
from datetime import datetime, timedelta, timezone
import meditopia

with meditopia.Client(spool="x", flush_interval_ms=timedelta(seconds=1)) as client:
    client.enqueue(token="t", partner_user_id="u", event="video", received_at=datetime.now(timezone.utc))
    report: meditopia.Report = client.flush(30)
    users: list[object] = [row.event for row in client.rejected(api_code="A_1104")]
    pending: int = client.stats.pending
"""


def test_the_package_is_installed_from_a_wheel_with_the_library_inside():
    files = {str(file) for file in importlib.metadata.files("meditopia")}
    assert {"meditopia/__init__.py", "meditopia/py.typed", "meditopia/libmeditopia.so.0"} <= files
    assert Path(sys.prefix) in PACKAGE.parents
    assert importlib.metadata.requires("meditopia") is None


def test_the_tag_of_the_wheel_asks_for_the_glibc_that_the_library_needs():
    tags = re.findall(r"^Tag: (.+)$", importlib.metadata.distribution("meditopia").read_text("WHEEL"), re.M)
    symbols = subprocess.run(
        ["objdump", "-T", PACKAGE / "libmeditopia.so.0"], check=True, stdout=subprocess.PIPE, text=True
    )
    newest = max(int(minor) for minor in re.findall(r"GLIBC_2\.(\d+)", symbols.stdout))
    assert tags == [f"py3-none-manylinux_2_{newest}_x86_64"]


def test_package_library_and_crate_are_of_one_version():
    from meditopia import _library

    crate = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.M).group(1)
    assert (meditopia.__version__, importlib.metadata.version("meditopia"), _library.version()) == (crate,) * 3


def mypy(*arguments):
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        f"--cache-dir={tempfile.gettempdir()}/meditopia-mypy-{os.getpid()}",
        *arguments,
    ]
    # Not from the directory of the tests, whose files are no part of it.
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=tempfile.gettempdir())


def test_the_package_and_what_uses_it_pass_mypy_strict(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    for what in (["--package=meditopia"], [str(tmp_path / "program.py")]):
        run = mypy(*what)
        assert run.returncode == 0, run.stdout
    (tmp_path / "program.py").write_text(PROGRAM.replace('event="video"', "event=17"))
    run = mypy(str(tmp_path / "program.py"))
    assert run.returncode == 1 and 'incompatible type "int"; expected "str"' in run.stdout


@pytest.mark.parametrize("minor", range(9, 15))
def test_it_works_with_every_python_that_is_here(api, spool, minor):
    python = shutil.which(f"python3.{minor}")
    if python is None or subprocess.run([python, "-c", ""], stderr=subprocess.DEVNULL).returncode:
        pytest.skip(f"no python3.{minor} here")
    code = f"""
import sys; sys.path.append({str(PACKAGE.parent)!r})
import meditopia
with meditopia.Client(**{api.options(str(spool))!r}) as client:
    client.enqueue(token="t", partner_user_id="u", event="video", event_value="0")
    assert client.flush(30).pending == 0 and client.stats.delivered == 1
    try:
        client.enqueue(token="t", partner_user_id="u", event="nap")
    except meditopia.InvalidEvent as error:
        assert "event" in str(error)
"""
    run = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")
    assert api.arrived() == {"u": [0]}
