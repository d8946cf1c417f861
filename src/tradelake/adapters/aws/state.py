"""Versioned state in DynamoDB, written conditionally."""

from __future__ import annotations

from typing import Any, Final

import botocore.exceptions

from tradelake.adapters.aws.clients import client, translate
from tradelake.errors import Fatal
from tradelake.ports import Versioned
from tradelake.topology.stores import CONSUMER_STATE, VALUE_ATTRIBUTE, VERSION_ATTRIBUTE

MAX_VALUE_BYTES: Final = 400_000 - 4_096
"""DynamoDB refuses items over 400 KB, keys and names included."""


class DynamoStateStore:
    """State on a table with the keys of ``topology.stores.CONSUMER_STATE``.

    A write that timed out may have succeeded; trying again then gives ``Conflict``, and a reload
    shows the own value.

    Parameters
    ----------
    table_name : str
        Physical name.
    """

    def __init__(self, table_name: str) -> None:
        self._table = table_name
        self._client = client("dynamodb")

    def load(self, consumer: str, key: str) -> Versioned | None:
        """Value with its version, or None; the read is strongly consistent.

        Raises
        ------
        Transient
            DynamoDB kept refusing.
        """
        try:
            answer = self._client.get_item(
                TableName=self._table, Key=_keys(consumer, key), ConsistentRead=True
            )
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
            raise translate(error, f"load {consumer}/{key} from {self._table}") from error
        item = answer.get("Item")
        if item is None:
            return None
        return Versioned(bytes(item[VALUE_ATTRIBUTE]["B"]), int(item[VERSION_ATTRIBUTE]["N"]))

    def save(self, consumer: str, key: str, value: bytes, expected_version: int) -> None:
        """Replace the value when its version is ``expected_version`` (0: when there is none).

        Raises
        ------
        Conflict
            Somebody else wrote since.
        Transient
            DynamoDB kept refusing.
        Fatal
            The value does not fit into an item.
        """
        what = f"save {consumer}/{key} to {self._table}"
        if len(value) > MAX_VALUE_BYTES:
            raise Fatal(f"{what}: expected at most {MAX_VALUE_BYTES} bytes, found {len(value)}")
        condition = "attribute_not_exists(#version)" if expected_version == 0 else "#version = :old"
        values = {} if expected_version == 0 else {":old": {"N": str(expected_version)}}
        request: dict[str, Any] = {
            "TableName": self._table,
            "Item": _keys(consumer, key)
            | {
                VALUE_ATTRIBUTE: {"B": value},
                VERSION_ATTRIBUTE: {"N": str(expected_version + 1)},
            },
            "ConditionExpression": condition,
            "ExpressionAttributeNames": {"#version": VERSION_ATTRIBUTE},
        }
        if values:
            request["ExpressionAttributeValues"] = values
        try:
            self._client.put_item(**request)
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
            raise translate(error, what) from error


def _keys(consumer: str, key: str) -> dict[str, dict[str, str]]:
    assert CONSUMER_STATE.sort_key is not None
    return {CONSUMER_STATE.partition_key: {"S": consumer}, CONSUMER_STATE.sort_key: {"S": key}}
