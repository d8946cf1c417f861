"""The emulator as a process: how it starts, refuses to start, and ends without leaving anything."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.emulator.conftest import Account, emulator_command, eventually, gone
from tests.emulator.test_batch import script, submit
from tradelake.errors import ConfigError
from tradelake.local.emulator import overrides
from tradelake.local.emulator.options import EmulatorOptions, child_environment
from tradelake.local.emulator.server import run_emulator
from tradelake.local.provision import Endpoints, Plan, provision


def provisioned(root: Path, line: str) -> Account:
    plan = Plan("ends", Endpoints(json.loads(line)["url"], None), root)
    return Account(plan, provision(plan))


def start_jobs(account: Account, folder: Path) -> list[int]:
    """Start one job in a fork and one that is no Python script; returns their process ids."""
    forked, plain = folder / "forked", folder / "plain"
    submit(account, script(account, "sleep", str(forked)))
    submit(account, ["/bin/sh", "-c", f"sleep 600 & echo $! > {plain}; wait"])
    return [
        int(eventually(lambda path=path: path.exists() and path.read_text().strip()))
        for path in (forked, plain)
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_emulator_leaves_no_job_behind_when_it_is_ended(root, tmp_path, number):
    with subprocess.Popen(emulator_command(root), stdout=subprocess.PIPE, text=True) as process:
        pids = start_jobs(provisioned(root, process.stdout.readline()), tmp_path)
        process.send_signal(number)
        code = process.wait(timeout=30)

    assert code == (-9 if number == signal.SIGKILL else 0)
    eventually(lambda: all(gone(pid) for pid in pids))


def test_emulator_ends_when_the_parent_that_it_follows_is_killed(root):
    parent_code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)\n"
        "print(child.pid, child.stdout.readline(), flush=True)\n"
        "child.wait()\n"
    )
    command = [sys.executable, "-c", parent_code, *emulator_command(root, follow="follow")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline().split()[0])
        parent.kill()

    eventually(lambda: gone(pid))


def test_emulator_refuses_to_start_in_one_line_when_its_port_is_taken(root):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            emulator_command(root, port), capture_output=True, text=True, check=False
        )

    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"ConfigError: the emulator cannot listen on 127.0.0.1:{port}: Address already in use"
    )


def test_emulator_raises_config_error_when_its_host_is_not_local(root):
    with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.1"):
        run_emulator(EmulatorOptions(root, host="192.0.2.1"))


def test_emulator_refuses_streams_and_says_where_they_are(account):
    kinesis = boto3.client(
        "kinesis",
        endpoint_url=account.plan.endpoints.aws,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )

    with pytest.raises(ClientError, match="AWS_ENDPOINT_URL_KINESIS"):
        kinesis.create_stream(StreamName="ticks", ShardCount=1)


def test_overrides_refuse_another_version_of_moto():
    overrides.check_version(version("moto"))
    with pytest.raises(ConfigError, match=r"needs moto 5\.2\.5 exactly, found 6\.0\.0"):
        overrides.check_version("6.0.0")


def test_child_environment_drops_real_credentials_and_keeps_given_variables():
    inherited = {"AWS_SESSION_TOKEN": "real", "MOTO_PORT": "5", "PATH": os.environ["PATH"]}
    options = EmulatorOptions(
        Path("/p"), child_environment={"AWS_ENDPOINT_URL_KINESIS": "http://k"}
    )
    found = child_environment(inherited, options, "http://a")

    assert "AWS_SESSION_TOKEN" not in found
    assert "MOTO_PORT" not in found
    assert found["AWS_ENDPOINT_URL"] == "http://a"
    assert found["AWS_ENDPOINT_URL_KINESIS"] == "http://k"
    assert found["PATH"] == os.environ["PATH"]
