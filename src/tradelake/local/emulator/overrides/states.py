"""Step Functions integrations that reach their services.

moto took its interpreter from LocalStack and left two methods empty: without them ``Parameters`` in
the casing of Amazon States Language (``JobName``) reach boto3, which wants ``jobName``, and answers
come back in boto3's casing.
"""

# ruff: noqa: SLF001 - overriding private parts is this module's whole purpose
from __future__ import annotations

import sys
import threading
from functools import cache
from typing import Any

import botocore.session
from botocore.model import OperationModel, ServiceModel
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service,
)
from moto.stepfunctions.parser.asl.utils.boto_client import boto_client_for
from moto.stepfunctions.parser.utils import camel_to_snake_case


def apply() -> None:
    """Fill in the two normalising methods, and share clients between tasks."""
    interpreter = state_task_service.StateTaskService
    interpreter._normalise_parameters = _normalise_parameters
    interpreter._normalise_response = _normalise_response
    _share_clients()


def _normalise_parameters(
    service: state_task_service.StateTaskService,
    parameters: dict[str, Any],
    boto_service_name: str | None = None,
    service_action_name: str | None = None,
) -> None:
    operation = _operation_of(service, boto_service_name, service_action_name)
    if operation is not None and operation.input_shape is not None:
        service._to_boto_request(parameters, operation.input_shape)


def _normalise_response(
    service: state_task_service.StateTaskService,
    response: object,
    boto_service_name: str | None = None,
    service_action_name: str | None = None,
) -> None:
    operation = _operation_of(service, boto_service_name, service_action_name)
    if operation is not None and operation.output_shape is not None:
        service._from_boto_response(response, operation.output_shape)


def _operation_of(
    service: state_task_service.StateTaskService,
    boto_service_name: str | None,
    service_action_name: str | None,
) -> OperationModel | None:
    name = service._get_boto_service_name(boto_service_name)
    action = service._get_boto_service_action(service_action_name)
    model = _service_model(name)
    for operation in model.operation_names:
        if camel_to_snake_case(operation) == action:
            return model.operation_model(operation)
    return None


@cache
def _service_model(name: str) -> ServiceModel:
    return botocore.session.get_session().get_service_model(name)


def _share_clients() -> None:
    """Make one client per (region, service) instead of one a task.

    ``boto3.client`` on the default session is not safe in threads, and a map starts its tasks in
    many at once. The function was imported by name, so it is replaced in every module of the
    interpreter.
    """
    lock = threading.Lock()
    made: dict[tuple[str, str], Any] = {}

    def shared(region: str, service: str, state_credentials: object = None) -> Any:  # noqa: ANN401 - as boto3's
        with lock:
            if (region, service) not in made:
                made[region, service] = boto_client_for(region, service, state_credentials)
            return made[region, service]

    for name, module in list(sys.modules.items()):
        if name.startswith("moto.stepfunctions.parser") and hasattr(module, "boto_client_for"):
            vars(module)["boto_client_for"] = shared
