"""Overrides of moto's Lambda: functions are warm processes."""

from __future__ import annotations

import base64
import json

import pytest

from tests.emulator.conftest import Account
from tradelake.local.provision import _empty_archive

ROLE = "arn:aws:iam::123456789012:role/tradelake-test-local"


@pytest.fixture(scope="module")
def probe(account: Account) -> str:
    return create(account, "probe", "functions/probe/handler.handler")


def create(account: Account, name: str, handler: str) -> str:
    """Make a function; returns its name."""
    account.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.12",
        Role=ROLE,
        Handler=handler,
        Timeout=20,
        Environment={"Variables": {"COLOUR": "red"}},
        Code={"ZipFile": _empty_archive()},
    )
    return name


def invoke(account: Account, name: str, event: object, **more):
    answer = account.client("lambda").invoke(
        FunctionName=name, Payload=json.dumps(event).encode(), **more
    )
    return answer, json.loads(answer["Payload"].read())


def test_function_answers_from_its_handler_with_variables_and_context(account, probe):
    answer, payload = invoke(account, probe, {"a": [1]})

    assert "FunctionError" not in answer
    assert payload["event"] == {"a": [1]}
    assert (payload["colour"], payload["function"]) == ("red", probe)
    assert payload["endpoint"] == account.plan.endpoints.aws
    assert 0 < payload["left_ms"] <= 20_000


def test_function_gets_an_empty_event_when_the_request_has_no_body(account, probe):
    answer = account.client("lambda").invoke(FunctionName=probe)

    assert json.loads(answer["Payload"].read())["event"] == {}


def test_function_answers_an_error_when_its_handler_raises(account, probe):
    answer, payload = invoke(account, probe, {"raise": "no such thing"})

    assert answer["FunctionError"]
    assert (payload["errorType"], payload["errorMessage"]) == ("ValueError", "no such thing")
    assert any("handler.py" in line for line in payload["stackTrace"])


def test_function_process_is_used_again_when_it_is_warm(account, probe):
    first = invoke(account, probe, {})[1]["pid"]
    invoke(account, probe, {"raise": "an error does not end it"})

    assert invoke(account, probe, {})[1]["pid"] == first


def test_function_log_is_returned_and_kept_when_asked_for(account, probe):
    answer, _ = invoke(account, probe, {"print": "said"}, LogType="Tail")

    assert base64.b64decode(answer["LogResult"]) == b"said"
    logs = account.client("logs")
    streams = logs.describe_log_streams(logGroupName=f"/aws/lambda/{probe}")["logStreams"]
    kept = [
        event["message"]
        for stream in streams
        for event in logs.get_log_events(
            logGroupName=f"/aws/lambda/{probe}", logStreamName=stream["logStreamName"]
        )["events"]
    ]
    assert "said" in kept


def test_function_answers_an_error_when_its_process_dies_and_recovers(account, probe):
    answer, payload = invoke(account, probe, {"exit": 9})

    assert answer["FunctionError"]
    assert payload["errorType"] == "Runtime.ExitError"
    assert "FunctionError" not in invoke(account, probe, {})[0]


def test_a_crash_is_answered_with_where_the_handler_was(account, probe):
    _, payload = invoke(account, probe, {"crash": True})
    assert payload["errorType"] == "Runtime.ExitError"
    assert "exit code -11" in payload["errorMessage"]
    assert "Segmentation fault" in payload["errorMessage"]
    assert "in handler" in payload["errorMessage"]


def test_function_is_stopped_when_it_takes_longer_than_its_timeout(account):
    create(account, "slow", "functions/probe/handler.handler")
    account.client("lambda").update_function_configuration(FunctionName="slow", Timeout=1)
    answer, payload = invoke(account, "slow", {"sleep_s": 60})

    assert answer["FunctionError"]
    assert payload["errorType"] == "Sandbox.Timedout"
    assert "timed out after 1.00 seconds" in payload["errorMessage"]


def test_function_runs_with_new_variables_when_its_configuration_changed(account):
    create(account, "changing", "functions/probe/handler.handler")
    before = invoke(account, "changing", {})[1]
    account.client("lambda").update_function_configuration(
        FunctionName="changing", Environment={"Variables": {"COLOUR": "blue"}}
    )
    after = invoke(account, "changing", {})[1]

    assert (before["colour"], after["colour"]) == ("red", "blue")
    assert before["pid"] != after["pid"]


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        ("functions/absent/handler.handler", "FileNotFoundError"),
        ("../outside/handler.handler", "Runtime.InvalidEntrypoint"),
        ("no_dot", "Runtime.InvalidEntrypoint"),
    ],
)
def test_function_answers_an_error_when_its_handler_cannot_be_found(account, handler, kind):
    name = create(account, f"lost-{abs(hash(handler))}", handler)
    answer, payload = invoke(account, name, {})

    assert answer["FunctionError"]
    assert payload["errorType"] == kind
