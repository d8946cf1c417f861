"""The gap ledger in DynamoDB."""

from __future__ import annotations

from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from tradelake.adapters.aws.clients import client as make_client
from tradelake.adapters.aws.clients import translate
from tradelake.ports import Gap
from tradelake.topology.stores import GAPS

_DIGITS: Final = 19
"""Width of an opening time as a sort key: ns since 1970 as text that sorts like the number."""


class DynamoGaps:
    """A ``GapLedger`` on the table :data:`tradelake.topology.stores.GAPS`; one partition a venue.

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

    def record(self, gap: Gap) -> None:
        """Write a gap; the same (venue, opened_ns) is replaced.

        Raises
        ------
        Transient
            DynamoDB does not answer.
        Fatal
            It refuses: no table, or no permission.
        """
        item = {
            GAPS.partition_key: {"S": gap.venue},
            str(GAPS.sort_key): {"S": f"{gap.opened_ns:0{_DIGITS}d}"},
            "closed": {"N": str(gap.closed_ns)},
            "channels": {"L": [{"S": channel} for channel in gap.channels]},
            "symbols": {"L": [{"S": symbol} for symbol in gap.symbols]},
            "cause": {"S": gap.cause},
        }
        try:
            self._client.put_item(TableName=self._table, Item=item)
        except (ClientError, BotoCoreError) as error:
            raise translate(error, f"record a gap in {self._table}") from error

    def gaps(self) -> list[Gap]:
        """Every gap, oldest first.

        Raises
        ------
        Transient, Fatal
            As for :meth:`record`.
        """
        try:
            pages = self._client.get_paginator("scan").paginate(
                TableName=self._table, ConsistentRead=True
            )
            gaps = [_gap(item) for page in pages for item in page["Items"]]
        except (ClientError, BotoCoreError) as error:
            raise translate(error, f"read the gaps in {self._table}") from error
        return sorted(gaps, key=lambda gap: (gap.opened_ns, gap.venue))


def _gap(item: dict[str, Any]) -> Gap:
    return Gap(
        venue=item[GAPS.partition_key]["S"],
        opened_ns=int(item[str(GAPS.sort_key)]["S"]),
        closed_ns=int(item["closed"]["N"]),
        channels=tuple(value["S"] for value in item["channels"]["L"]),
        symbols=tuple(value["S"] for value in item["symbols"]["L"]),
        cause=item["cause"]["S"],
    )
