"""What happens to stateful resources when their stack is deleted."""

from __future__ import annotations

import aws_cdk as cdk

from infra.environments import Environment


def policy(environment: Environment) -> cdk.RemovalPolicy:
    """RETAIN where the environment keeps its data, else DESTROY."""
    return cdk.RemovalPolicy.RETAIN if environment.keep_data else cdk.RemovalPolicy.DESTROY
