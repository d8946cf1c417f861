"""Overrides of moto's Batch: jobs are processes."""

from __future__ import annotations

import sys
from collections import Counter
from itertools import count
from pathlib import Path

import pytest

from tests.emulator.conftest import SLOTS, Account, eventually, gone

_numbers = count()


def submit(
    account: Account, command: list[str], *, attempts: int = 1, timeout_s: int = 60, **override
):
    batch = account.client("batch")
    name = f"probe-{next(_numbers)}"
    batch.register_job_definition(
        jobDefinitionName=name,
        type="container",
        platformCapabilities=["FARGATE"],
        retryStrategy={"attempts": attempts},
        timeout={"attemptDurationSeconds": timeout_s},
        containerProperties={
            "image": "none",
            "command": command,
            "executionRoleArn": "arn:aws:iam::123456789012:role/none",
            "environment": [{"name": "COLOUR", "value": "defined"}],
            "resourceRequirements": [
                {"type": "VCPU", "value": "1.0"},
                {"type": "MEMORY", "value": "2048"},
            ],
        },
    )
    return batch.submit_job(
        jobName=name, jobQueue=account.made.job_queue, jobDefinition=name, **override
    )["jobId"]


def script(account: Account, *arguments: str) -> list[str]:
    return [sys.executable, "-P", str(account.plan.project_root / "job.py"), *arguments]


def describe(account: Account, job: str):
    return account.client("batch").describe_jobs(jobs=[job])["jobs"][0]


def ended(account: Account, job: str):
    eventually(lambda: describe(account, job)["status"] in {"SUCCEEDED", "FAILED"})
    return describe(account, job)


def log_of(account: Account, job) -> list[str]:
    events = account.client("logs").get_log_events(
        logGroupName="/aws/batch/job", logStreamName=job["container"]["logStreamName"]
    )
    return [event["message"] for event in events["events"]]


def test_job_runs_its_command_and_keeps_its_log(account):
    job = ended(account, submit(account, script(account, "tell")))

    assert job["status"] == "SUCCEEDED"
    assert job["container"]["exitCode"] == 0
    assert Counter(log_of(account, job)) == Counter(["colour defined", "attempt 1", "profile None"])


def test_job_sees_the_overridden_environment_when_both_set_a_variable(account):
    override = {"environment": [{"name": "COLOUR", "value": "overridden"}]}
    job = ended(account, submit(account, script(account, "tell"), containerOverrides=override))

    assert "colour overridden" in log_of(account, job)


def test_job_runs_any_program_when_it_is_no_python_script(account):
    job = ended(account, submit(account, ["/bin/sh", "-c", "echo shell; exit 4"]))

    assert (job["status"], job["container"]["exitCode"]) == ("FAILED", 4)
    assert log_of(account, job) == ["shell"]


def test_job_fails_with_127_when_its_program_does_not_exist(account):
    job = ended(account, submit(account, ["/no/such/program"]))

    assert (job["status"], job["container"]["exitCode"]) == ("FAILED", 127)


def test_job_keeps_the_traceback_when_its_script_raises(account):
    job = ended(account, submit(account, script(account, "raise")))

    assert job["container"]["exitCode"] == 1
    assert log_of(account, job)[-1] == "LookupError: nothing here"


def test_job_is_attempted_as_often_as_defined_when_it_fails(account):
    job = ended(account, submit(account, script(account, "exit", "3"), attempts=3))

    assert job["status"] == "FAILED"
    assert job["statusReason"] == "Essential container in task exited"
    assert [attempt["container"]["exitCode"] for attempt in job["attempts"]] == [3, 3, 3]


def test_job_succeeds_when_a_later_attempt_does(account):
    job = ended(account, submit(account, script(account, "succeed-at", "2"), attempts=3))

    assert job["status"] == "SUCCEEDED"
    assert [attempt["container"]["exitCode"] for attempt in job["attempts"]] == [1, 0]


def test_job_is_stopped_when_an_attempt_lasts_too_long(account, tmp_path):
    pid_file = tmp_path / "pid"
    job = ended(account, submit(account, script(account, "sleep", str(pid_file)), timeout_s=2))

    assert (job["status"], job["statusReason"]) == (
        "FAILED",
        "Job attempt duration exceeded timeout",
    )
    assert gone(int(pid_file.read_text()))


def test_job_is_stopped_when_it_is_terminated(account, tmp_path):
    pid_file = tmp_path / "pid"
    job = submit(account, script(account, "sleep", str(pid_file)), attempts=3)
    pid = int(eventually(lambda: pid_file.exists() and pid_file.read_text()))
    account.client("batch").terminate_job(jobId=job, reason="not needed")
    done = ended(account, job)

    assert (done["status"], done["statusReason"]) == ("FAILED", "not needed")
    assert len(done["attempts"]) == 1
    assert gone(pid)


def test_jobs_wait_when_every_slot_is_taken(account):
    jobs = [submit(account, script(account, "span")) for _ in range(3 * SLOTS)]
    spans = [log_of(account, ended(account, job))[0].split()[1:] for job in jobs]
    edges = sorted(edge for begin, end in spans for edge in ((float(begin), 1), (float(end), -1)))
    running = most = 0
    for _, change in edges:
        running += change
        most = max(most, running)

    assert most <= SLOTS


def test_description_names_each_variable_once_when_it_is_asked_for_often(account):
    job = submit(account, script(account, "tell"), containerOverrides={"environment": []})
    ended(account, job)
    for _ in range(3):
        described = describe(account, job)["container"]["environment"]

    assert Counter(variable["name"] for variable in described) == {
        "COLOUR": 1,
        "AWS_BATCH_JOB_ID": 1,
    }


@pytest.mark.parametrize("times", [2])
def test_array_job_runs_once_an_index(account, tmp_path, times):
    command = ["/bin/sh", "-c", f"echo > {tmp_path}/$AWS_BATCH_JOB_ARRAY_INDEX"]
    submit(account, command, arrayProperties={"size": times})

    eventually(lambda: len(list(tmp_path.iterdir())) == times)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


def test_real_container_ends_with_2_and_names_what_is_missing_when_settings_are_incomplete(account):
    main = account.plan.project_root / "containers/real_backtest/main.py"
    assert Path(main).exists()
    job = ended(account, submit(account, [sys.executable, "-P", str(main)]))

    assert job["container"]["exitCode"] == 2
    assert any("TRADELAKE_ENVIRONMENT" in line for line in log_of(account, job))
