"""The gap ledger in DynamoDB.

An item is named by venue, opening time and cause. Whoever sees the gap writes its interval, whoever
fills it writes the fill: each with an update of its own attributes, so neither undoes the other.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from tradelake.adapters.aws.clients import client as make_client
from tradelake.adapters.aws.clients import translated
from tradelake.decoding import json_decoder
from tradelake.ports import NOTHING_FILLED, Fill, Gap
from tradelake.topology.stores import GAPS

_DIGITS: Final = 19
"""Width of an opening time in a sort key: ns since 1970 as text that sorts like the number."""
_ENCODE: Final = msgspec.json.Encoder(order="deterministic").encode
_DECODE: Final = json_decoder(Fill).decode


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
        """Write interval and cause of a gap; all but ``closed_ns`` names it, ``fill`` stays.

        Raises
        ------
        Transient
            DynamoDB does not answer.
        Fatal
            It refuses: no table, or no permission.
        """
        with translated(f"record a gap in {self._table}"):
            self._client.update_item(
                TableName=self._table,
                Key=_key(gap),
                UpdateExpression="SET #closed = :closed, #channels = :channels,"
                " #symbols = :symbols, #cause = :cause",
                ExpressionAttributeNames=_names("closed", "channels", "symbols", "cause"),
                ExpressionAttributeValues={
                    ":closed": {"N": str(gap.closed_ns)},
                    ":channels": {"L": [{"S": channel} for channel in gap.channels]},
                    ":symbols": {"L": [{"S": symbol} for symbol in gap.symbols]},
                    ":cause": {"S": gap.cause},
                },
            )

    def note_fill(self, gap: Gap, fill: Fill) -> None:
        """Replace what was done about ``gap``.

        A write whose answer was lost may have succeeded; sent again it conflicts, and a reload
        shows the own fill.

        Raises
        ------
        Conflict
            It is not ``gap.fill`` any more, or the gap was never recorded.
        Transient, Fatal
            As for :meth:`record`.
        """
        values = {":fill": {"B": _encoded(fill)}}
        condition = "attribute_exists(#cause) AND "
        if gap.fill == NOTHING_FILLED:
            condition += "attribute_not_exists(#fill)"
        else:
            condition += "#fill = :before"
            values[":before"] = {"B": _encoded(gap.fill)}
        with translated(f"note the fill of a gap in {self._table}"):
            self._client.update_item(
                TableName=self._table,
                Key=_key(gap),
                UpdateExpression="SET #fill = :fill",
                ConditionExpression=condition,
                ExpressionAttributeNames=_names("fill", "cause"),
                ExpressionAttributeValues=values,
            )

    def gaps(self) -> list[Gap]:
        """Every gap, oldest first.

        Raises
        ------
        Transient, Fatal
            As for :meth:`record`.
        """
        with translated(f"read the gaps in {self._table}"):
            pages = self._client.get_paginator("scan").paginate(
                TableName=self._table, ConsistentRead=True
            )
            gaps = [_gap(item) for page in pages for item in page["Items"]]
        return sorted(gaps, key=lambda gap: (gap.opened_ns, gap.venue, gap.cause))


def _key(gap: Gap) -> dict[str, Any]:
    """Keys of the item; what tells gaps of one instant apart is hashed: it has any length."""
    named = "\n".join((gap.cause, *gap.channels, *gap.symbols))
    digest = hashlib.blake2b(named.encode(), digest_size=8).hexdigest()
    return {
        GAPS.partition_key: {"S": gap.venue},
        str(GAPS.sort_key): {"S": f"{gap.opened_ns:0{_DIGITS}d}#{digest}"},
    }


def _encoded(fill: Fill) -> bytes:
    """Encode a fill; without earlier epochs as it was before fills had any, so that both compare.

    An encoder that sorts takes no numbers for keys.
    """
    fields = msgspec.structs.asdict(fill)
    earlier = {str(epoch): last_seq for epoch, last_seq in fields.pop("earlier").items()}
    return _ENCODE({**fields, "earlier": earlier} if earlier else fields)


def _names(*attributes: str) -> dict[str, str]:
    return {f"#{name}": name for name in attributes}


def _gap(item: dict[str, Any]) -> Gap:
    return Gap(
        venue=item[GAPS.partition_key]["S"],
        opened_ns=int(item[str(GAPS.sort_key)]["S"].partition("#")[0]),
        closed_ns=int(item["closed"]["N"]),
        channels=tuple(value["S"] for value in item["channels"]["L"]),
        symbols=tuple(value["S"] for value in item["symbols"]["L"]),
        cause=item["cause"]["S"],
        fill=_DECODE(bytes(item["fill"]["B"])) if "fill" in item else NOTHING_FILLED,
    )
