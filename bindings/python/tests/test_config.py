"""Options and secrets."""

import traceback
from datetime import timedelta

import pytest

import meditopia

SECRET = "secret-token-9f2b"


def test_the_arguments_go_before_the_environment_and_that_before_the_file(tmp_path, monkeypatch):
    (tmp_path / "options.toml").write_text(f'spool = "{tmp_path}/file"\nrole = "enqueue"\ndurability = "power"\n')
    monkeypatch.setenv("MEDITOPIA_SPOOL", f"{tmp_path}/environment")
    monkeypatch.setenv("MEDITOPIA_DURABILITY", "process")
    client = meditopia.Client(config_file=tmp_path / "options.toml", from_env=True, spool=tmp_path / "argument")
    assert repr(client) == f"<meditopia.Client spool='{tmp_path}/argument' role=enqueue durability=process>"
    client.close(0)


def test_without_from_env_the_environment_has_no_say(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDITOPIA_SPOOL", str(tmp_path))
    with pytest.raises(meditopia.ConfigError, match="spool"):
        meditopia.Client()


@pytest.mark.parametrize(
    "options, says",
    [
        ({"lanes": 99}, 'lanes: "99" is not a whole number from 1 to 16'),
        ({"lanes": "many"}, "lanes"),
        ({"role": "reader"}, "role"),
        ({"flush_interval_ms": timedelta(microseconds=1)}, "not a whole number of milliseconds"),
        ({"event_ttl_s": timedelta(milliseconds=500)}, "not a whole number of seconds"),
        ({"lanes": timedelta(seconds=1)}, "lanes is not a time"),
        ({"account": "a\0b"}, "account: holds a NUL"),
        ({"account": b"bytes"}, "account: is not a str but a bytes"),
        ({"endpoint": "http://example.com/"}, "endpoint"),
    ],
)
def test_a_bad_option_is_refused_by_its_name(tmp_path, options, says):
    with pytest.raises((meditopia.ConfigError, meditopia.InvalidArgument), match=says):
        meditopia.Client(spool=tmp_path / "spool", **options)


def test_a_duration_may_be_a_timedelta(api, spool):
    options = api.options(spool, flush_interval_ms=timedelta(milliseconds=30), event_ttl_s=timedelta(hours=1))
    client = meditopia.Client(connect_timeout_ms=timedelta(seconds=3), allow_network_spool=True, **options)
    client.enqueue(token="t", partner_user_id="u", event="video")
    client.flush(30)
    assert client.stats.delivered == 1
    client.close()


def shown(error):
    """All that a reporter of errors prints, local variables of the package included."""
    text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    # The variables of the test itself are its own.
    frames = text.split("  File ")
    return "".join(frame for frame in frames if "test_config.py" not in frame)


@pytest.mark.parametrize(
    "bad", [{"lanes": 99}, {"bearer_token": SECRET + "\n"}, {"bearer_token": SECRET + "\u00e9"}, {"library": "/none"}]
)
def test_the_bearer_token_is_in_no_error_and_no_variable_of_its_traceback(tmp_path, bad):
    options = {"spool": tmp_path / "spool", "bearer_token": SECRET, **bad}
    with pytest.raises(meditopia.MeditopiaError) as caught:
        meditopia.Client(**options)
    text = shown(caught.value)
    assert "_config.py" in text or "_library.py" in text
    assert SECRET not in text and "9f2b" not in repr(caught.value)


def test_the_bearer_token_is_in_no_file_log_or_repr(api, spool, caplog):
    client = meditopia.Client(**api.options(spool, bearer_token=SECRET, log_level="debug"))
    client.enqueue(token="t", partner_user_id="u", event="video")
    with pytest.raises(meditopia.Paused):
        client.flush(30)
    with pytest.raises(meditopia.ConfigError) as caught:
        client.set_bearer_token(SECRET + "\n")
    assert SECRET not in shown(caught.value)
    client.__exit__(None, None, None)
    assert caplog.records and SECRET not in caplog.text + repr(client) + repr(vars(client))
    files = [path for path in spool.rglob("*") if path.is_file()]
    assert files and not [path for path in files if SECRET.encode() in path.read_bytes()]
