"""The function worker as a process, with a handler of the tests' own."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.contracts.kinesis.processes import CREDENTIALS, REPOSITORY
from tradelake.errors import ConfigError
from tradelake.local.function_worker import load_handler, parse_options
from tradelake.topology import functions, names, streams

PATIENCE_S = 30
HANDLER = """
import os
import threading

SEEN = []

def handler(event, context):
    assert context.get_remaining_time_in_millis() > 0
    SEEN.append(len(event["Records"]))
    with open(os.environ["OUT"], "a") as file:
        for record in event["Records"]:
            file.write(f"{threading.current_thread().name} {record['kinesis']['data']}\\n")
    return {"batchItemFailures": []}
"""


def write_handler(folder, text):
    (folder / "validate").mkdir(parents=True)
    path = folder / "validate" / "handler.py"
    path.write_text(text)
    return path


def wait_for(process, status_file, condition):
    """Status as soon as it meets a condition; the worker rewrites it five times a second."""
    deadline = time.monotonic() + PATIENCE_S
    pause = threading.Event()
    while time.monotonic() < deadline:
        assert process.poll() is None, "the worker ended"
        if status_file.exists():
            status = json.loads(status_file.read_text())
            if condition(status):
                return status
        pause.wait(0.05)
    pytest.fail(f"no such status in {PATIENCE_S} s")


@pytest.fixture
def start(tmp_path, stream_server):
    started = []

    def run(environment_name):
        environment = os.environ | CREDENTIALS
        environment |= {
            "PYTHONPATH": str(REPOSITORY / "src"),
            "AWS_ENDPOINT_URL_KINESIS": stream_server,
            "OUT": str(tmp_path / "out.txt"),
            names.ENV_ENVIRONMENT: environment_name,
        }
        command = [sys.executable, "-m", "tradelake.local.function_worker"]
        command += ["--function", "validate", "--functions-folder", str(tmp_path / "functions")]
        command += ["--state-folder", str(tmp_path / "state")]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stderr.close()


def test_worker_drains_its_stream_says_so_and_stops_cleanly(tmp_path, kinesis, start):
    write_handler(tmp_path / "functions", HANDLER)
    stream = names.physical("worker", streams.TICKS.name)
    kinesis.create_stream(StreamName=stream, ShardCount=2)
    filling = names.physical("worker", streams.BACKFILL.name)
    kinesis.create_stream(StreamName=filling, ShardCount=1)
    put_at_ns = time.time_ns()
    kinesis.put_records(
        StreamName=stream,
        Records=[{"Data": str(at).encode(), "PartitionKey": str(at)} for at in range(200)],
    )
    process = start("worker")
    status_file = tmp_path / "state" / "validate.status.json"
    status = wait_for(
        process,
        status_file,
        lambda s: s["caught_up"] and all(m["caught_up_ns"] > put_at_ns for m in s["mappings"]),
    )
    mapping, idle = status["mappings"]
    assert (idle["records"], idle["errors"], idle["stream"]) == (0, 0, filling)
    assert (mapping["records"], mapping["errors"], mapping["stream"]) == (200, 0, stream)
    assert len(mapping["last_sequence_numbers"]) == 2
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    assert json.loads(status_file.read_text())["state"] == "stopped"
    lines = (tmp_path / "out.txt").read_text().split("\n")[:-1]
    assert len(lines) == len(set(lines)) == 200


def test_worker_refuses_to_start_in_one_line_when_the_handler_cannot_be_loaded(tmp_path, start):
    write_handler(tmp_path / "functions", "import no_such_module")
    process = start("worker")
    _, complaint = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert complaint.count("\n") == 1
    assert "no_such_module" in complaint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("handler = 5", "no function named handler"),
        ("raise RuntimeError('first\\nsecond')", "RuntimeError: first second"),
        ("def handler(", "SyntaxError"),
    ],
)
def test_handler_file_is_refused_with_its_reason(tmp_path, text, expected):
    path = write_handler(tmp_path, text)
    with pytest.raises(ConfigError, match=expected):
        load_handler(path)


def test_handler_file_is_refused_when_it_is_missing(tmp_path):
    with pytest.raises(ConfigError, match="expected a handler"):
        load_handler(tmp_path / "absent" / "handler.py")


def test_every_load_is_an_execution_environment_of_its_own(tmp_path):
    path = write_handler(
        tmp_path, "SEEN = []\ndef handler(e, c):\n    SEEN.append(e)\n    return SEEN"
    )
    first, second = load_handler(path), load_handler(path)
    assert (first(1, None), first(2, None), second(3, None)) == ([1, 2], [1, 2], [3])


def test_options_name_the_function_of_the_topology():
    options = parse_options(
        ["--function", "deliver", "--state-folder", "/state"], {names.ENV_ENVIRONMENT: "dev"}
    )
    assert options.function is functions.DELIVER
    assert options.window_cap_s == 1.0
    assert options.status_file.name == "deliver.status.json"


@pytest.mark.parametrize(
    ("function", "environment", "expected"),
    [("absent", {names.ENV_ENVIRONMENT: "dev"}, "expected one of"), ("hot", {}, "is not set")],
)
def test_options_are_refused_when_they_name_nothing_known(function, environment, expected):
    with pytest.raises(ConfigError, match=expected):
        parse_options(["--function", function, "--state-folder", "/s"], environment)
