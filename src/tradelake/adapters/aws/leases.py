"""Leases in DynamoDB: one holder a name, fenced by the epochs of the same item."""

from __future__ import annotations

from typing import Any, Final

from tradelake.adapters.aws.clients import client as make_client
from tradelake.adapters.aws.clients import translated
from tradelake.errors import Conflict
from tradelake.ports import Fence, Lease
from tradelake.topology.stores import LEASES

_MINE: Final = "epoch = :epoch AND attribute_exists(holder)"


class DynamoLeases:
    """A ``LeaseStore`` on the table :data:`tradelake.topology.stores.LEASES`.

    The item of a name also counts its epochs and keeps how far its run came
    (:class:`tradelake.adapters.aws.epochs.DynamoEpochs`), so taking a lease is one conditional
    write: no two holders can have one epoch. No clock is compared: a holder is alive as long as
    its beat changes, and who waits measures that by its own clock.

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
        # A renewal that hangs longer than the lease lasts is worth nothing.
        self._client = client or make_client("dynamodb", connect_timeout=1, read_timeout=2)

    def read(self, name: str) -> Lease | None:
        """Return the lease, or None when nobody holds it; strongly consistent.

        Raises
        ------
        Transient
            DynamoDB does not answer.
        Fatal
            It refuses: no table, or no permission.
        """
        with translated(f"read the lease {name} in {self._table}"):
            answer = self._client.get_item(
                TableName=self._table, Key=_key(name), ConsistentRead=True
            )
        item = answer.get("Item", {})
        if "holder" not in item:
            return None
        return Lease(item["holder"]["S"], int(item["epoch"]["N"]), int(item["beat"]["N"]))

    def take(self, name: str, holder: str, seen: Lease | None) -> Fence:
        """Become the holder with the next epoch, if the lease is still as ``seen``.

        A request whose answer was lost is sent again and meets its own write: who is the holder of
        the lease then is read, and an own write is taken for what it is.

        Raises
        ------
        Conflict
            The holder gave a sign of life since, or somebody else took it.
        Transient, Fatal
            As for :meth:`read`.
        """
        values = {":one": {"N": "1"}, ":holder": {"S": holder}}
        if seen is None:
            condition = "attribute_not_exists(holder) OR holder = :holder"
        else:
            condition = "epoch = :epoch AND beat = :beat"
            values |= {":epoch": {"N": str(seen.epoch)}, ":beat": {"N": str(seen.beat)}}
        answer = self._update(
            name,
            f"take the lease {name}",
            UpdateExpression="SET holder = :holder ADD epoch :one, beat :one",
            ConditionExpression=condition,
            ExpressionAttributeValues=values,
            ReturnValues="ALL_NEW",
        )
        item = answer["Attributes"]
        durable = item.get("durable")
        return Fence(int(item["epoch"]["N"]), None if durable is None else int(durable["N"]))

    def renew(self, name: str, epoch: int) -> None:
        """Give a sign of life.

        Raises
        ------
        Conflict
            Somebody else holds the lease now.
        Transient, Fatal
            As for :meth:`read`.
        """
        self._update(
            name,
            f"renew the lease {name}",
            UpdateExpression="ADD beat :one",
            ConditionExpression=_MINE,
            ExpressionAttributeValues={":one": {"N": "1"}, ":epoch": {"N": str(epoch)}},
        )

    def release(self, name: str, epoch: int) -> None:
        """Give the lease back; nothing when it is lost already.

        Raises
        ------
        Transient, Fatal
            As for :meth:`read`.
        """
        try:
            self._update(
                name,
                f"release the lease {name}",
                UpdateExpression="REMOVE holder",
                ConditionExpression=_MINE,
                ExpressionAttributeValues={":epoch": {"N": str(epoch)}},
            )
        except Conflict:
            return

    def _update(
        self,
        name: str,
        what: str,
        **request: Any,  # noqa: ANN401 - boto3's own parameters
    ) -> dict[str, Any]:
        with translated(f"{what} in {self._table}"):
            answer: dict[str, Any] = self._client.update_item(
                TableName=self._table, Key=_key(name), **request
            )
        return answer


def _key(name: str) -> dict[str, dict[str, str]]:
    return {LEASES.partition_key: {"S": name}}
