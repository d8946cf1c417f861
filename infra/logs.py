"""Log groups: each one explicit, encrypted, and with the environment's retention."""

from __future__ import annotations

from typing import Final

from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.environments import Environment
from infra.removal import policy
from tradelake.topology import names

_RETENTION: Final = {
    7: logs.RetentionDays.ONE_WEEK,
    14: logs.RetentionDays.TWO_WEEKS,
    30: logs.RetentionDays.ONE_MONTH,
    90: logs.RetentionDays.THREE_MONTHS,
    365: logs.RetentionDays.ONE_YEAR,
}


def log_group(
    scope: Construct, environment: Environment, name: str, key: kms.IKey, *, prefix: str = "/"
) -> logs.LogGroup:
    """Return the log group ``/tradelake-<environment>-<name>``.

    ``prefix`` is for services that insist on one, for instance ``/aws/vendedlogs/states/``.
    """
    return logs.LogGroup(
        scope,
        f"{name.title()}Logs",
        log_group_name=prefix + names.physical(environment.name, name),
        retention=_RETENTION[environment.log_retention_days],
        encryption_key=key,
        removal_policy=policy(environment),
    )
