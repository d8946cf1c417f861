"""Orders, fills and what became of them, as the trading API shows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal

from tradelake.exchange.assets import ListedAsset
from tradelake.exchange.paper.asks import SIDES, TIFS, TYPES, Ask
from tradelake.exchange.wire import Rfc3339
from tradelake.execution.layout import CASH_DIGITS, OrderType

Event = Literal["new", "fill", "partial_fill", "canceled", "replaced", "rejected"]
OrderStatus = Literal["new", "partially_filled", "filled", "canceled", "replaced", "rejected"]
OPEN: Final = frozenset(("new", "partially_filled"))

SIDE_NAMES: Final = {value: name for name, value in SIDES.items()}
TYPE_NAMES: Final = {value: name for name, value in TYPES.items()}
TIF_NAMES: Final = {value: name for name, value in TIFS.items()}
CASH_UNIT: Final = Decimal(1).scaleb(-CASH_DIGITS)
_STAMP: Final = Rfc3339()
_PLACES: Final = 9
_EXACT: Final = Decimal("1e18")
"""Up to here a decimal has room for the places."""


def plain(value: Decimal) -> str:
    """Return a decimal as the API writes it: no exponent, no zeros behind.

    >>> plain(Decimal("1E-9")), plain(Decimal("12.500")), plain(Decimal("-0.0"))
    ('0.000000001', '12.5', '0')
    """
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def rounded(value: Decimal) -> Decimal:
    """Return a decimal of as many places as the API shows: nine, of a number of any size.

    >>> rounded(Decimal("2.0000000005")), rounded(Decimal("1e300")) == Decimal("1e300")
    (Decimal('2.000000000'), True)
    """
    return round(value, _PLACES) if abs(value) < _EXACT else value


def stamp(ts_ns: int | None) -> str | None:
    """Return an instant, ns since 1970 UTC, as the API writes it; None where there is none."""
    return None if ts_ns is None else _STAMP(ts_ns)


def optional(value: Decimal | None) -> str | None:
    """Return a decimal as the API writes it; None where there is none."""
    return None if value is None else plain(value)


@dataclass(slots=True)
class PaperOrder:
    """An order and where it is.

    Parameters
    ----------
    order_id : str
        A UUID.
    row : int
        Its row in the matching core.
    ask : Ask
        As it was asked for; a replacement's is that of the order before with what was changed.
    asset : ListedAsset
        As it was listed when the order came, or last while it was open.
    unit : Decimal
        Base units in one unit of quantity.
    created_ns : int
        ns since 1970 UTC, as all instants here.
    """

    order_id: str
    row: int
    ask: Ask
    asset: ListedAsset
    unit: Decimal
    created_ns: int
    client_order_id: str
    quantity: Decimal | None = None
    """Base units; None while it is not known: of a notional that has not filled."""
    filled: int = 0
    """Units."""
    value: int = 0
    """Of what filled, cash units."""
    status: OrderStatus = "new"
    updated_ns: int = 0
    filled_ns: int | None = None
    ended_ns: int | None = None
    replaces: str | None = None
    replaced_by: str | None = None
    fills: int = field(default=0, repr=False)

    @property
    def open(self) -> bool:
        """Whether it may still fill."""
        return self.status in OPEN

    @property
    def side(self) -> str:
        """``buy`` or ``sell``."""
        return SIDE_NAMES[self.ask.side]

    @property
    def filled_quantity(self) -> Decimal:
        """Base units."""
        return self.filled * self.unit

    @property
    def average_price(self) -> Decimal | None:
        """Quote units for a base unit; None where nothing filled."""
        if not self.filled:
            return None
        return rounded(self.value * CASH_UNIT / self.filled_quantity)

    def body(self) -> dict[str, Any]:
        """The order as the API answers it."""
        ask, ended = self.ask, stamp(self.ended_ns)
        limit = ask.limit if ask.kind is not OrderType.MARKET else None
        kind = TYPE_NAMES[ask.kind]
        return {
            "id": self.order_id,
            "client_order_id": self.client_order_id,
            "created_at": stamp(self.created_ns),
            "updated_at": stamp(max(self.updated_ns, self.created_ns)),
            "submitted_at": stamp(self.created_ns),
            "filled_at": stamp(self.filled_ns) if self.status == "filled" else None,
            "expired_at": None,
            "canceled_at": ended if self.status == "canceled" else None,
            "failed_at": ended if self.status == "rejected" else None,
            "replaced_at": ended if self.status == "replaced" else None,
            "replaced_by": self.replaced_by,
            "replaces": self.replaces,
            "asset_id": self.asset.asset_id,
            "symbol": self.asset.symbol,
            "asset_class": "crypto",
            "notional": optional(ask.notional),
            "qty": None if ask.notional is not None else optional(self.quantity),
            "filled_qty": plain(self.filled_quantity),
            "filled_avg_price": optional(self.average_price),
            "order_class": "",
            "order_type": kind,
            "type": kind,
            "side": SIDE_NAMES[ask.side],
            "position_intent": f"{SIDE_NAMES[ask.side]}_to_{'open' if ask.side > 0 else 'close'}",
            "time_in_force": TIF_NAMES[ask.tif],
            "limit_price": optional(limit),
            "stop_price": optional(ask.stop),
            "status": self.status,
            "extended_hours": False,
            "legs": None,
            "trail_percent": None,
            "trail_price": None,
            "hwm": None,
            "subtag": None,
            "source": None,
        }


@dataclass(frozen=True, slots=True)
class Update:
    """Something that happened to an order, as ``trade_updates`` tells it.

    Parameters
    ----------
    order : mapping
        The order's body right after it.
    price, quantity, position : Decimal or None
        Of a fill: quote units, base units, and base units held after it.
    """

    event: Event
    execution_id: str
    ts_ns: int
    order: dict[str, Any]
    price: Decimal | None = None
    quantity: Decimal | None = None
    position: Decimal | None = None

    def body(self) -> dict[str, Any]:
        """The message's ``data``."""
        body: dict[str, Any] = {
            "event": self.event,
            "execution_id": self.execution_id,
            "timestamp": stamp(self.ts_ns),
            "order": self.order,
        }
        for name, value in (
            ("price", self.price),
            ("qty", self.quantity),
            ("position_qty", self.position),
        ):
            if value is not None:
                body[name] = plain(value)
        return body
