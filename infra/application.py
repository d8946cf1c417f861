"""The CDK application: one stage an environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import aws_cdk as cdk

from infra.environments import ENVIRONMENTS, Environment
from infra.packaging import LightBundle
from infra.stage import TradelakeStage

# Set here and not in cdk.json, so that tests and the command line synthesise the same templates.
FEATURE_FLAGS: Final = {
    "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy": True,
    "@aws-cdk/aws-iam:minimizePolicies": True,
    "@aws-cdk/aws-ec2:restrictDefaultSecurityGroup": False,
    "@aws-cdk/aws-stepfunctions:useDistributedMapResultWriterV2": True,
    "aws:cdk:enable-path-metadata": False,
    "aws:cdk:enable-asset-metadata": False,
}


def application(
    environments: Sequence[Environment] = ENVIRONMENTS,
    *,
    outdir: str | None = None,
    context: Mapping[str, Any] | None = None,
    bundle: LightBundle | None = None,
) -> cdk.App:
    """Return the application with a stage for every environment, ready for ``synth``.

    CloudFormation's built-in validation is off: it takes four fifths of a synthesis and only warns.

    Parameters
    ----------
    environments : sequence of Environment
        What to synthesise; ``-c env=dev`` on the command line chooses one of them.
    outdir : str or None
        Where the cloud assembly goes; None: where the command line says, or ``cdk.out``.
    context : mapping or None
        More CDK context, for instance ``{"aws:cdk:bundling-stacks": []}``.
    bundle : LightBundle or None
        How the zip of the light functions is made; None: with the locked dependencies, by ``uv``.

    Raises
    ------
    ValueError
        ``-c env=`` names no environment.
    """
    app = cdk.App(
        outdir=outdir,
        analytics_reporting=False,
        tree_metadata=False,
        builtin_cloud_formation_validation=False,
        post_cli_context={**FEATURE_FLAGS, **(context or {})},
    )
    light = bundle or LightBundle()
    for environment in _chosen(environments, app.node.try_get_context("env")):
        TradelakeStage(app, environment, light)
    return app


def _chosen(environments: Sequence[Environment], name: str | None) -> Sequence[Environment]:
    if name is None:
        return environments
    chosen = [environment for environment in environments if environment.name == name]
    if not chosen:
        known = ", ".join(environment.name for environment in environments)
        raise ValueError(f"-c env={name}: expected one of {known}")
    return chosen
