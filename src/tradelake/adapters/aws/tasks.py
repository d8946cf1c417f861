"""Tasks of ECS as holders of a lease."""

from __future__ import annotations

import contextlib
from typing import Any, Final

import msgspec
import urllib3

from tradelake.adapters.aws.clients import client as make_client
from tradelake.adapters.aws.clients import translated
from tradelake.decoding import json_decoder
from tradelake.errors import Transient

_REASON: Final = "its lease ran out: it must let go of the venue's one connection"


class _TaskMetadata(msgspec.Struct, rename="pascal"):
    task_arn: str = msgspec.field(name="TaskARN")


def own_task(metadata_url: str) -> str:
    """Return the ARN of this task.

    Parameters
    ----------
    metadata_url : str
        Value of ``ECS_CONTAINER_METADATA_URI_V4``.

    Raises
    ------
    Transient
        The agent does not say.
    """
    try:
        answer = urllib3.request(
            "GET", f"{metadata_url}/task", timeout=2.0, retries=urllib3.Retry(3)
        )
        return json_decoder(_TaskMetadata).decode(answer.data).task_arn
    except (urllib3.exceptions.HTTPError, msgspec.DecodeError) as error:
        raise Transient(f"task metadata: {error}") from error


class TaskEvictor:
    """An :class:`tradelake.ports.Evictor` of ECS tasks.

    ECS asks a task to end and kills it after its stop time-out, paused or not.

    Parameters
    ----------
    client : boto3 ECS client, optional
        Made where not given.
    """

    def __init__(
        self,
        client: Any = None,  # noqa: ANN401 - boto3 clients have no static type
    ) -> None:
        self._client = client or make_client("ecs")

    def evict(self, holder: str) -> None:
        """Stop the task; nothing when it is gone or ``holder`` is no task.

        Raises
        ------
        Transient
            ECS does not answer.
        Fatal
            It refuses: no permission.
        """
        # arn:aws:ecs:<region>:<account>:task/<cluster>/<id>
        parts = holder.rpartition(":")[2].split("/")
        if not holder.startswith("arn:") or len(parts) != 3 or parts[0] != "task":
            return
        with (
            translated(f"stop {holder}"),
            contextlib.suppress(self._client.exceptions.InvalidParameterException),
        ):
            self._client.stop_task(cluster=parts[1], task=holder, reason=_REASON)
