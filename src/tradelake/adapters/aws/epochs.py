"""Fences, counted in DynamoDB."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tradelake.adapters.aws.clients import client as make_client
from tradelake.adapters.aws.clients import translate
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

    def next_epoch(self, name: str) -> int:
        """Return a number greater than every one handed out before for ``name``.

        One atomic increment. A request whose answer is lost is sent again and skips a number.

        Raises
        ------
        Transient
            DynamoDB does not answer.
        Fatal
            It refuses: no table, or no permission.
        """
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key={LEASES.partition_key: {"S": name}},
                UpdateExpression="ADD epoch :one",
                ExpressionAttributeValues={":one": {"N": "1"}},
                ReturnValues="UPDATED_NEW",
            )
        except (ClientError, BotoCoreError) as error:
            raise translate(error, f"next epoch of {name} in {self._table}") from error
        return int(answer["Attributes"]["epoch"]["N"])
