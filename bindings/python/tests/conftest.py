import logging

import pytest
from local_api import LocalApi
from servers import Server

import meditopia


@pytest.fixture
def api():
    api = LocalApi()
    yield api
    api.stop()


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def client(api, spool):
    client = meditopia.Client(**api.options(spool))
    yield client
    try:
        client.close(0)
    except meditopia.MeditopiaError:
        pass


@pytest.fixture
def serve(api, tmp_path):
    """Starts servers that do not outlive the test."""
    servers = []

    def start(command, **environment):
        servers.append(Server(api, tmp_path, command, **environment))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture(autouse=True)
def all_of_the_log(caplog):
    caplog.set_level(logging.DEBUG, "meditopia")
