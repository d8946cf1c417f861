from __future__ import annotations

import itertools
import uuid
from dataclasses import dataclass

import pytest
from moto.server import ThreadedMotoServer

from tests.contracts.kinesis.processes import ServerProcess, kinesis_client

TARGETS = ("tradelake", "moto")


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "breaks(target, reason): what a target is known to do differently from Kinesis"
    )
    config.addinivalue_line("markers", "only(target): a behaviour that other targets do not offer")


@dataclass(frozen=True)
class Target:
    name: str
    url: str

    def client(self, **options):
        return kinesis_client(self.url, **options)


@pytest.fixture(scope="session")
def tradelake_url(tmp_path_factory):
    server = ServerProcess(tmp_path_factory.mktemp("streams")).start()
    yield server.url
    assert server.stop() == 0


@pytest.fixture(scope="session")
def moto_url():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=TARGETS)
def target(request):
    name = request.param
    for mark in request.node.iter_markers("only"):
        if mark.args[0] != name:
            pytest.skip(f"{name} does not offer it")
    for mark in request.node.iter_markers("breaks"):
        if mark.args[0] == name:
            request.node.add_marker(pytest.mark.xfail(reason=mark.args[1], strict=True))
    return Target(name, request.getfixturevalue(f"{name}_url"))


@pytest.fixture
def kinesis(target):
    client = target.client()
    yield client
    client.close()


@pytest.fixture
def new_stream(kinesis):
    """Make streams that are deleted after the test."""
    made = []
    number = itertools.count()

    def make(shards: int = 1) -> str:
        name = f"contract-{next(number)}-{uuid.uuid4().hex[:8]}"
        kinesis.create_stream(StreamName=name, ShardCount=shards)
        kinesis.get_waiter("stream_exists").wait(
            StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 10}
        )
        made.append(name)
        return name

    yield make
    for name in made:
        kinesis.delete_stream(StreamName=name, EnforceConsumerDeletion=True)
