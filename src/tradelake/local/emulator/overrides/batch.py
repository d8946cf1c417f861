"""AWS Batch jobs that run.

moto would start a Docker container; here the container's command runs as a subprocess with the
job's environment, time-out and attempts. The image is not looked at: a job definition's command
names the entry point by absolute path.
"""

# ruff: noqa: SLF001 - overriding private parts is this module's whole purpose
from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from moto.batch.models import Job
from moto.batch.utils import JobStatus

from tradelake.local.emulator.jobs import Attempt, JobRunner


def apply(runner: JobRunner) -> None:
    """Replace ``Job.run`` and two of its descriptions."""
    describe_container = Job._container_details
    container_property = Job._get_container_property

    def run(job: Job) -> None:
        job.status = JobStatus.PENDING
        if job.depends_on and not job._wait_for_dependencies():
            return
        job.status = JobStatus.RUNNABLE
        with runner.slot:
            succeeded = not job.stop and _run_attempts(runner, job)
        job._mark_stopped(success=succeeded)

    def container_details(job: Job) -> dict[str, Any]:
        details: dict[str, Any] = describe_container(job)
        if job.exit_code is not None:
            details["exitCode"] = job.exit_code
        return details

    def property_of(job: Job, name: str, default: object) -> Any:  # noqa: ANN401 - moto's own signature
        """Merge the environment anew: moto's own appends to the overrides at every describe."""
        if name != "environment":
            return container_property(job, name, default)
        merged = {
            entry["name"]: entry["value"]
            for source in (job.job_definition.container_properties, job.container_overrides)
            for entry in source.get(name, [])
        }
        merged["AWS_BATCH_JOB_ID"] = job.job_id
        return [{"name": key, "value": value} for key, value in merged.items()]

    Job.run = run
    Job._container_details = container_details
    Job._get_container_property = property_of


def _run_attempts(runner: JobRunner, job: Job) -> bool:
    """Run attempts until one succeeds; returns whether one did."""
    strategy = job.job_definition.retry_strategy or {}
    attempts = int(strategy.get("attempts", 1))
    for number in range(1, attempts + 1):
        job.job_started_at = datetime.now()  # noqa: DTZ005 - moto keeps naive local times
        job._start_attempt()
        job.status = JobStatus.RUNNING
        attempt = _run_attempt(runner, job, number)
        _record(job, attempt)
        if attempt.succeeded or job.stop:
            return attempt.succeeded
        if number < attempts:
            job.job_stopped_at = datetime.now()  # noqa: DTZ005 - as above
            job._stop_attempt()
    return False


def _run_attempt(runner: JobRunner, job: Job, number: int) -> Attempt:
    environment = {
        entry["name"]: entry["value"] for entry in job._get_container_property("environment", [])
    }
    environment["AWS_BATCH_JOB_ATTEMPT"] = str(number)
    if "index" in job.array_properties:
        environment["AWS_BATCH_JOB_ARRAY_INDEX"] = str(job.array_properties["index"])
    command = job._add_parameters_to_command(job._get_container_property("command", []))
    return runner.attempt(command, environment, job._get_attempt_duration(), lambda: bool(job.stop))


def _record(job: Job, attempt: Attempt) -> None:
    """Keep exit code, reason and log where describe-jobs and CloudWatch Logs find them."""
    job.exit_code = attempt.exit_code
    job.latest_attempt["container"]["exitCode"] = attempt.exit_code
    if not attempt.succeeded:
        reason = attempt.stopped_because or "Essential container in task exited"
        job.latest_attempt["statusReason"] = reason
        if not job.stop:
            job.job_stopped_reason = reason
    else:
        job.job_stopped_reason = None
    job.log_stream_name = job._stream_name
    job._log_backend.ensure_log_group(job._log_group)
    job._log_backend.ensure_log_stream(job._log_group, job.log_stream_name)
    stamp = int(time.time() * 1000)
    events = [{"timestamp": stamp, "message": line} for line in attempt.lines if line]
    if events:
        job._log_backend.put_log_events(job._log_group, job.log_stream_name, events)
