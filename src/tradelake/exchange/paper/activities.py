"""The account's activities: fills, and the fees of fills."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from tradelake.exchange.paper.orders import CASH_UNIT, SIDE_NAMES, PaperOrder, Update, plain, stamp
from tradelake.execution.state import Record


@dataclass(frozen=True, slots=True)
class Activity:
    """An entry of the account's activities.

    Parameters
    ----------
    activity_id : str
        Sorts by time.
    kind : {"FILL", "CFEE"}
        As the API names it.
    body : mapping
        As the API answers it.
    """

    activity_id: str
    kind: Literal["FILL", "CFEE"]
    ts_ns: int
    body: dict[str, Any]


def activities_of(update: Update, order: PaperOrder, fill: Record) -> list[Activity]:
    """Return the entries of a fill: itself, and its fee where there is one.

    Alpaca posts fees at the end of the day; here they are posted with the fill, because the
    position is what the fee left of it from then on.
    """
    ts_ns = update.ts_ns
    key = f"{stamp(ts_ns)}::{update.execution_id}"
    left = (order.quantity or Decimal(0)) - order.filled_quantity
    assert update.quantity is not None
    assert update.price is not None
    body = {
        "id": key,
        "activity_type": "FILL",
        "transaction_time": stamp(ts_ns),
        "type": update.event,
        "price": plain(update.price),
        "qty": plain(update.quantity),
        "side": SIDE_NAMES[order.ask.side],
        "symbol": order.asset.symbol,
        "leaves_qty": plain(max(left, Decimal(0))),
        "cum_qty": plain(order.filled_quantity),
        "order_id": order.order_id,
        "order_status": order.status,
    }
    entries = [Activity(key, "FILL", ts_ns, body)]
    if fill["fee"]:
        entries.append(_fee(f"{key}:fee", update, order, fill))
    return entries


def _fee(key: str, update: Update, order: PaperOrder, fill: Record) -> Activity:
    in_base = bool(fill["fee_in_base"])
    fee = -int(fill["fee"]) * (order.unit if in_base else CASH_UNIT)
    day = stamp(update.ts_ns)
    assert day is not None
    assert update.price is not None
    body = {
        "id": key,
        "activity_type": "CFEE",
        "date": day[:10],
        "net_amount": "0" if in_base else plain(fee),
        "description": f"Coin Pair Transaction Fee ({'Non USD' if in_base else 'USD'})",
        "symbol": order.asset.symbol.replace("/", ""),
        "qty": plain(fee) if in_base else "0",
        "price": plain(update.price),
        "status": "executed",
    }
    return Activity(key, "CFEE", update.ts_ns, body)
