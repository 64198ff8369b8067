"""Interpreters beside the first one, as mod_wsgi makes for each application: their end does not end the process."""

import subprocess

import pytest
from local_api import PATIENCE_S
from test_pythons import found, install

#: A flush that is not over when its interpreter ends, and one that is.
BODY = """
import asyncio, sys, threading
sys.path[:0] = {path!r}
import meditopia
client = meditopia.Client(**{options!r})
client.enqueue(token="t", partner_user_id="u", event="video", event_value="0")
try:
    client.flush(0.1)
except meditopia.TimedOut:
    pass
async def give_up():
    flush = asyncio.ensure_future(client.aflush(1))
    await asyncio.sleep(0.2)
    flush.cancel()
asyncio.run(give_up())
print("over", flush=True)
"""

#: Made and ended as mod_wsgi and uWSGI do, by Py_NewInterpreter and Py_EndInterpreter.
PROGRAM = """
import _testcapi, sys
if _testcapi.run_in_subinterp(sys.argv[1]):
    sys.exit("the code failed")
print("still here")
"""


@pytest.mark.parametrize("minor", [9, 10, 11, 12, 13])
def test_an_interpreter_ends_while_a_wait_that_was_given_up_goes_on(api, spool, tmp_path, minor):
    python = found(minor)
    if python is None or subprocess.run([python, "-c", "import _testcapi"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip(f"no Python 3.{minor} here with the interface for tests")
    assert install(python, tmp_path / "site")[0] == 0
    api.set("faults", faults=[{"fault": "delay", "ms": 20_000}])
    body = BODY.format(path=[str(tmp_path / "site")], options=api.options(str(spool), role="enqueue"))
    run = subprocess.run([python, "-c", PROGRAM, body], capture_output=True, text=True, timeout=PATIENCE_S)
    assert (run.returncode, run.stdout.split("\n"), run.stderr) == (0, ["over", "still here", ""], "")
