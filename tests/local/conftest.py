from __future__ import annotations

import pytest

from tests.contracts.kinesis.processes import ServerProcess, kinesis_client


@pytest.fixture(scope="session")
def stream_server(tmp_path_factory):
    """A stream server's URL."""
    server = ServerProcess(tmp_path_factory.mktemp("streams")).start()
    yield server.url
    assert server.stop() == 0


@pytest.fixture
def kinesis(stream_server):
    client = kinesis_client(stream_server)
    yield client
    client.close()
