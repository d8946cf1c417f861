"""cdk-nag's AwsSolutions rules hold, but for the findings that stand here with their reasons."""

from __future__ import annotations

import json
import re

import pytest

ACCEPTED = {
    (r"AwsSolutions-IAM5\[Resource::\*\]", r".*"): (
        "calls that know no narrower resource; test_privileges lists each with its reason"
    ),
    (r"AwsSolutions-IAM5\[Resource::\w+-lake:\w+Bucket(artifacts|lake|failures)\w+/\*\]", r".*"): (
        "object keys follow from data; the bucket is the one that the topology names"
    ),
    (
        r"AwsSolutions-IAM5\[Resource::.*:execution:tradelake-\w+-backtests/\*\]",
        r".*MachineRole.*",
    ): ("a Distributed Map stops and describes child executions of its own machine"),
    (
        r"AwsSolutions-IAM5\[Resource::.*:task/tradelake-\w+-services/\*\]",
        r".*/ingester/TaskRole/.*",
    ): ("ids of tasks are not known beforehand; the resource is limited to the own cluster"),
    (r"AwsSolutions-EC23", r"(prod/network/Endpoints|.*/ingester/Outbound)/.*"): (
        "the rule cannot read the source, which is the VPC's own address range"
    ),
    (r"AwsSolutions-ECS2", r".*/ingester/Task/.*"): (
        "the variables hold names and settings; the credentials are read from Secrets Manager"
    ),
    (r"AwsSolutions-KDS3", r".*/streams/Stream-.*"): (
        "the rule prefers the AWS managed key; a key of our own is what grants are limited by"
    ),
    (r"AwsSolutions-L1", r".*/functions/.*"): (
        "the runtime is the one that the locked arm64 wheels are resolved for, not the newest"
    ),
    (r"AwsSolutions-SF2", r"dev/backtests/Machine/.*"): "tracing costs, and dev goes without it",
    (r"AwsSolutions-SMG4", r".*/security/Alpaca/.*"): (
        "Alpaca issues keys by hand only: they are rotated by whoever puts the new value in"
    ),
    (r"AwsSolutions-SMG4", r".*/hot/Credentials/.*"): (
        "the database takes a new administrator password by a call of its own, not by rotation"
    ),
}


@pytest.fixture(scope="module")
def findings(tmp_path_factory) -> set[tuple[str, str]]:
    cdk_nag = pytest.importorskip("cdk_nag", reason="cdk-nag is not installed")
    import aws_cdk as cdk

    from infra.application import application

    folder = tmp_path_factory.mktemp("nag")
    app = application(outdir=str(folder), context={"aws:cdk:bundling-stacks": []})
    cdk.Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app))
    with pytest.raises(RuntimeError, match=r"^ValidationFailed"):
        app.synth()
    report = json.loads((folder / "validation-report.json").read_text())
    return {
        (violation["ruleName"], construct["constructPath"])
        for plugin in report["pluginReports"]
        for violation in plugin["violations"]
        for construct in violation["violatingConstructs"]
        if violation["ruleName"].startswith("AwsSolutions")
    }


def _reason(finding: tuple[str, str]) -> tuple[str, str] | None:
    for patterns in ACCEPTED:
        if all(
            re.fullmatch(pattern, text) for pattern, text in zip(patterns, finding, strict=True)
        ):
            return patterns
    return None


def test_every_finding_has_its_reason(findings):
    assert {finding for finding in findings if _reason(finding) is None} == set()


def test_every_reason_still_has_a_finding(findings):
    assert set(ACCEPTED) - {_reason(finding) for finding in findings} == set()
