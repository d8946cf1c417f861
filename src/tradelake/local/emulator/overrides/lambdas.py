"""Lambda functions that run.

moto would unpack the archive into a Docker container; here the function's ``Handler`` names a file
below the project root, which runs in a warm subprocess. The uploaded archive is not looked at.
"""

# ruff: noqa: SLF001 - overriding private parts is this module's whole purpose
from __future__ import annotations

import json

from moto.awslambda.models import LambdaFunction

from tradelake.local.emulator.functions import FunctionConfig, FunctionRunner


def apply(runner: FunctionRunner) -> None:
    """Replace ``LambdaFunction._invoke_lambda``, which answers (payload, is an error, log)."""

    def invoke(function: LambdaFunction, event: object = None) -> tuple[str, bool, str]:
        own = {
            "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
            "AWS_LAMBDA_LOG_GROUP_NAME": function.logs_group_name,
            **{name: str(value) for name, value in (function.environment_vars or {}).items()},
        }
        config = FunctionConfig(
            function.function_name, function.handler or "", tuple(sorted(own.items()))
        )
        # An empty request body reaches this method as the text "{}".
        given = {} if event in (None, "{}") else event
        done = runner.invoke(config, given, function.function_arn, float(function.timeout))
        function.logs_backend.ensure_log_group(function.logs_group_name)
        function.save_logs(done.log)
        return json.dumps(done.payload), done.error, done.log

    LambdaFunction._invoke_lambda = invoke
