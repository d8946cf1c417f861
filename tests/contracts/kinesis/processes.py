"""Stream servers for tests: ours as a process, moto in a thread."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.validate import ParamValidator

REPOSITORY = Path(__file__).parents[3]
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


class ServerProcess:
    """Our stream server as a process on a folder."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._command = [sys.executable, "-m", "tradelake.local.stream_server"]
        self._command += ["--folder", str(folder), *options]
        self.process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> ServerProcess:
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
        self.process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, text=True, env=environment
        )
        atexit.register(self.process.kill)  # a test that fails leaves no process behind
        ready = json.loads(self.process.stdout.readline())
        assert ready["event"] == "ready"
        self.url = ready["url"]
        return self

    def kill(self) -> None:
        self.process.kill()
        self._reap()

    def stop(self) -> int:
        self.process.terminate()
        return self._reap()

    def _reap(self) -> int:
        code = self.process.wait(timeout=20)
        self.process.stdout.close()
        return code


def fault(url: str, **request: object) -> None:
    """Put a fault in force."""
    body = json.dumps(request).encode()
    with urllib.request.urlopen(f"{url}/_streams/fault", data=body, timeout=10) as answer:
        assert answer.status == 200


def kinesis_client(url: str, *, attempts: int = 1, validate: bool = True):
    """Return a boto3 client that holds every answer against botocore's model of the service."""
    client = boto3.client(
        "kinesis",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(
            retries={"mode": "standard", "total_max_attempts": attempts}, max_pool_connections=16
        ),
    )
    if validate:
        client.meta.events.register("after-call.kinesis", _validate)
    return client


def _validate(http_response, parsed, model, **_):
    if http_response.status_code >= 300:
        known = {shape.name for shape in model.error_shapes}
        known |= {"ValidationException", "InternalFailure", "ServiceUnavailable"}
        assert parsed["Error"]["Code"] in known, parsed["Error"]
        assert parsed["Error"]["Message"]
        return
    if model.output_shape is None or model.has_event_stream_output:
        return
    answer = {name: value for name, value in parsed.items() if name != "ResponseMetadata"}
    report = ParamValidator().validate(answer, model.output_shape)
    # Kinesis itself answers below the model's minima: empty lists, a count of no failures.
    lines = [line for line in report.generate_report().split("\n") if line]
    wrong = [line for line in lines if "valid min" not in line]
    assert not wrong, f"{model.name}: {wrong}"
