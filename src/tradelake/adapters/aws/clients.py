"""The one place where boto3 clients are made."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import boto3
import botocore.exceptions
from botocore.config import Config

from tradelake.errors import Conflict, Fatal, Throttled, TradelakeError, Transient

_THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "Throttling",
        "LimitExceededException",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "SlowDown",
    }
)
_CONFLICT = frozenset(
    {"ConditionalCheckFailedException", "TransactionConflictException", "PreconditionFailed"}
)
_STILL_EXPIRED = "refreshed credentials are still expired"
_TRANSIENT = frozenset(
    {"InternalFailure", "InternalServerError", "ServiceUnavailable", "RequestTimeout", "503", "500"}
)


def client(service: str, **config: Any) -> Any:  # noqa: ANN401 - boto3 clients have no static type
    """Return a boto3 client with short time-outs and few retries of its own.

    ``AWS_ENDPOINT_URL`` is honoured.

    Parameters
    ----------
    service : str
        boto3's service name.
    **config
        More fields of ``botocore.config.Config``.
    """
    settings = {
        "connect_timeout": 3,
        "read_timeout": 30,
        "retries": {"mode": "standard", "total_max_attempts": 3},
        "max_pool_connections": 32,
        "tcp_keepalive": True,
    } | config
    return boto3.client(service, config=Config(**settings))


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Let botocore's errors out of the block as ours; ``what`` says which call on which resource.

    Raises
    ------
    TradelakeError
        As :func:`translate` makes it.
    """
    try:
        yield
    except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
        raise translate(error, what) from error
    except RuntimeError as error:
        if _STILL_EXPIRED not in str(error):
            raise
        raise Transient(f"{what}: {error}") from error


def translate(error: Exception, what: str) -> TradelakeError:
    """Return our error for a botocore one; ``what`` says which call on which resource.

    A refused request is ``Fatal``; throttling, time-outs and server faults are ``Transient``.
    """
    if isinstance(error, botocore.exceptions.ClientError):
        code = error.response.get("Error", {}).get("Code", "unknown")
        message = error.response.get("Error", {}).get("Message", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        text = f"{what}: {code}: {message}"
        if code in _THROTTLED:
            return Throttled(text)
        if code in _CONFLICT:
            return Conflict(text)
        if code in _TRANSIENT or status >= 500:
            return Transient(text)
        return Fatal(text)
    return Transient(f"{what}: {type(error).__name__}: {error}")
