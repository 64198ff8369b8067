"""The wheel: one for every Python 3, honest about its glibc, typed; installed in a fresh environment by test.sh."""

import base64
import hashlib
import importlib.metadata
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest
from local_api import BUILD

import meditopia

PACKAGE = Path(meditopia.__file__).parent
SOURCE = Path(__file__).parents[1]
WHEEL = Path(os.environ["MEDITOPIA_WHEEL"])
ROOT = Path(__file__).parents[3]

PROGRAM = """
from __future__ import annotations
from datetime import datetime, timedelta, timezone
from uuid import UUID
import meditopia
from meditopia.testing import RecordingClient

with meditopia.Client(spool="x", flush_interval_ms=timedelta(seconds=1)) as client:
    client.enqueue(token="t", partner_user_id="u", event="video", received_at=datetime.now(timezone.utc))
    report: meditopia.Report = client.flush(30)
    users: list[object] = [row.event for row in client.rejected(api_code="A_1104")]
    pending: int = client.stats.pending
    client.enqueue_many([{"token": "t", "partner_user_id": "u", "event": "video"}])
    client.enqueue_many(meditopia.Event("t", "u", meditopia.EventType.AUDIO) for _ in range(2))
    client.enqueue(token=UUID(int=1), partner_user_id=17, event=meditopia.EventType.VIDEO, event_value=[1, {"a": None}])
    seen: datetime | None = client.sender_seen().seen
    waiting: list[str] = [row.event_json for row in client.pending(partner_user_id="u")]
    by_user: list[dict[str, dict[str, int]]] = [receipt.events_by_user for receipt in client.receipts(since=seen)]
    times: tuple[int, ...] = client.stats.delivery.buckets

def use(client: meditopia.ClientLike) -> int:
    return client.enqueue_many([])

use(meditopia.Client.disabled(spool="x"))
use(meditopia.Client(spool="x"))
recording = RecordingClient()
use(recording)
recorded: list[dict[str, object]] = [dict(event) for event in recording.events]

async def work() -> meditopia.Report:
    async with meditopia.Client(spool="x") as client:
        await client.aenqueue(token="t", partner_user_id="u", event="video", event_value={"a": 1})
        return await client.aflush(timedelta(seconds=5))
"""


def test_the_package_is_installed_from_a_wheel_with_the_library_inside():
    files = {str(file) for file in importlib.metadata.files("meditopia")}
    assert {"meditopia/__init__.py", "meditopia/py.typed", "meditopia/libmeditopia.so.0"} <= files
    assert Path(sys.prefix) in PACKAGE.parents
    assert importlib.metadata.requires("meditopia") is None


def test_every_file_is_as_its_record_says():
    files = importlib.metadata.files("meditopia")
    recorded = [file for file in files if file.hash]
    assert len(recorded) > 10
    for file in recorded:
        digest = hashlib.sha256(file.read_binary()).digest()
        assert (file.hash.value, file.size) == (_unpadded(digest), len(file.read_binary())), file


def _unpadded(digest):
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def test_pip_builds_the_same_wheel_from_the_tree_with_nothing_fetched(tmp_path):
    environment = {**os.environ, "MEDITOPIA_BUILD_LIBRARY": str(BUILD / "libmeditopia.so")}
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", f"--wheel-dir={tmp_path}"]
    subprocess.run([*command, str(SOURCE)], check=True, env=environment)
    assert (tmp_path / WHEEL.name).read_bytes() == WHEEL.read_bytes()

    environment["MEDITOPIA_BUILD_LIBRARY"] = str(tmp_path / "none.so")
    run = subprocess.run([*command, str(SOURCE)], env=environment, stderr=subprocess.PIPE, text=True)
    assert run.returncode != 0 and f"{tmp_path}/none.so is not there: run `make wheel`" in run.stderr


def test_every_link_of_the_description_leads_to_a_file_among_the_sources_of_this_version():
    (repository,) = re.findall(r'^repository = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.M)
    sources = f"{repository}/blob/v{importlib.metadata.version('meditopia')}/"
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", importlib.metadata.distribution("meditopia").read_text("METADATA"))
    assert len(links) > 10
    for link in links:
        assert link.startswith("https://"), link
        if link.startswith(repository):
            assert (ROOT / link.removeprefix(sources)).exists(), link


def test_the_tag_of_the_wheel_asks_for_the_glibc_that_library_and_command_need():
    tags = re.findall(r"^Tag: (.+)$", importlib.metadata.distribution("meditopia").read_text("WHEEL"), re.M)
    files = [PACKAGE / "libmeditopia.so.0", PACKAGE / "bin" / "meditopia"]
    symbols = subprocess.run(["objdump", "-T", *files], check=True, stdout=subprocess.PIPE, text=True)
    newest = max(int(minor) for minor in re.findall(r"GLIBC_2\.(\d+)", symbols.stdout))
    # pip before 20.3 knows 2.17 by another name only.
    older = ["py3-none-manylinux2014_x86_64"] if newest <= 17 else []
    assert tags == [f"py3-none-manylinux_2_{max(newest, 17)}_x86_64", *older]
    assert WHEEL.name.endswith("py3-none-" + ".".join(tag.rpartition("-")[2] for tag in tags) + ".whl")


@pytest.mark.parametrize("command", [[sys.executable, "-m", "meditopia"], [Path(sys.prefix) / "bin" / "meditopia"]])
def test_the_command_of_the_wheel_is_started_in_the_process_that_was_asked_for_it(command):
    shown = subprocess.run([*command, "--version"], check=True, stdout=subprocess.PIPE, text=True)
    assert meditopia.__version__ in shown.stdout
    wrong = subprocess.run([*command, "no-such-word"], stderr=subprocess.PIPE, text=True)
    assert wrong.returncode == 2 and "no-such-word" in wrong.stderr
    with subprocess.Popen([*command, "sandbox", "--port", "0", "--stay"], stdout=subprocess.PIPE) as running:
        running.stdout.readline()
        assert os.readlink(f"/proc/{running.pid}/exe") == str(PACKAGE / "bin" / "meditopia")
        running.terminate()


def test_a_source_distribution_has_no_library_and_pip_says_what_it_needs(tmp_path):
    subprocess.run([sys.executable, SOURCE / "build_wheel.py", "--sdist", tmp_path], check=True)
    (archive,) = tmp_path.iterdir()
    with tarfile.open(archive) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    assert {"PKG-INFO", "pyproject.toml", "build_wheel.py", "LICENSE-MIT", "src/meditopia/py.typed"} <= names
    assert not [name for name in names if ".so" in name]

    built = tmp_path / "built"
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", f"--wheel-dir={built}", archive]
    environment = {key: value for key, value in os.environ.items() if key != "MEDITOPIA_BUILD_LIBRARY"}
    run = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert run.returncode != 0 and "the source distribution has no library inside" in run.stderr
    environment["MEDITOPIA_BUILD_LIBRARY"] = str(BUILD / "libmeditopia.so")
    subprocess.run(command, check=True, env=environment)
    assert (built / WHEEL.name).read_bytes() == WHEEL.read_bytes()


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
    for what in (["--package=meditopia"], [str(SOURCE / "build_wheel.py")], [str(tmp_path / "program.py")]):
        run = mypy(*what)
        assert run.returncode == 0, run.stdout
    (tmp_path / "program.py").write_text(PROGRAM.replace('event="video"', "event=17"))
    run = mypy(str(tmp_path / "program.py"))
    assert run.returncode == 1 and run.stdout.count('incompatible type "int"; expected "str"') == 2, run.stdout


def pyright(directory, *files):
    (directory / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    command = [os.environ["MEDITOPIA_PYRIGHT"], "--pythonpath", sys.executable, *files]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=directory)


def test_what_uses_the_package_passes_pyright_strict(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    run = pyright(tmp_path, "program.py")
    assert run.returncode == 0, run.stdout
    (tmp_path / "program.py").write_text(PROGRAM.replace('event="video"', "event=17"))
    run = pyright(tmp_path, "program.py")
    assert run.returncode == 1 and run.stdout.count("reportArgumentType") == 2, run.stdout


def test_pyright_sees_the_type_of_everything_that_the_package_exports():
    # This option asks the Python that is found first.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = [os.environ["MEDITOPIA_PYRIGHT"], "--ignoreexternal", "--verifytypes", "meditopia"]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=tempfile.gettempdir())
    assert "Type completeness score: 100%" in run.stdout, run.stdout


def test_the_readmes_example_of_a_recording_client_runs():
    (block,) = re.findall(r"```python\n(from meditopia.testing.*?)```", (SOURCE / "README.md").read_text(), re.S)
    exec(block, {})
