"""Fences, counted in DynamoDB, and how far the run behind each came."""

from __future__ import annotations

from typing import Any

from tradelake.adapters.aws.clients import client as make_client
from tradelake.adapters.aws.clients import translated
from tradelake.ports import Fence
from tradelake.topology.stores import LEASES


class DynamoEpochs:
    """An ``EpochStore`` on the table :data:`tradelake.topology.stores.LEASES`.

    Parameters
    ----------
    table : str
        Physical name.
    client : boto3 DynamoDB client, optional
        Made where not given.
    """

    def __init__(
        self,
        table: str,
        client: Any = None,  # noqa: ANN401 - boto3 clients have no static type
    ) -> None:
        self._table = table
        self._client = client or make_client("dynamodb")

    def next_fence(self, name: str) -> Fence:
        """Return a fence whose epoch is greater than every one handed out before for ``name``.

        One atomic increment. A request whose answer is lost is sent again and skips a number.

        Raises
        ------
        Transient
            DynamoDB does not answer.
        Fatal
            It refuses: no table, or no permission.
        """
        with translated(f"next epoch of {name} in {self._table}"):
            answer = self._client.update_item(
                TableName=self._table,
                Key={LEASES.partition_key: {"S": name}},
                UpdateExpression="ADD epoch :one",
                ExpressionAttributeValues={":one": {"N": "1"}},
                ReturnValues="ALL_NEW",
            )
        item = answer["Attributes"]
        durable = item.get("durable")
        return Fence(int(item["epoch"]["N"]), None if durable is None else int(durable["N"]))

    def note_durable(self, name: str, epoch: int, durable_ns: int | None) -> None:
        """Keep that all received before ``durable_ns`` is durable; None: the run ends in order.

        Raises
        ------
        Conflict
            A later fence was handed out.
        Transient
            DynamoDB does not answer.
        Fatal
            It refuses: no table, or no permission.
        """
        values = {":epoch": {"N": str(epoch)}}
        if durable_ns is not None:
            values[":durable"] = {"N": str(durable_ns)}
        with translated(f"durable of {name} in {self._table}"):
            self._client.update_item(
                TableName=self._table,
                Key={LEASES.partition_key: {"S": name}},
                UpdateExpression="REMOVE durable"
                if durable_ns is None
                else "SET durable = :durable",
                ConditionExpression="epoch = :epoch",
                ExpressionAttributeValues=values,
            )
