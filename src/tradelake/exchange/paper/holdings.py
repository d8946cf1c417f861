"""What the account holds and is worth, as the trading API shows it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tradelake.exchange.assets import ListedAsset
from tradelake.exchange.paper.orders import plain, rounded, stamp


@dataclass(frozen=True, slots=True)
class Position:
    """What is held of an asset.

    Parameters
    ----------
    quantity, available : Decimal
        Base units; available is what no order promises.
    cost : Decimal
        Quote units paid for what is held (M5).
    price : Decimal
        Quote units, last known.
    """

    asset: ListedAsset
    quantity: Decimal
    available: Decimal
    cost: Decimal
    price: Decimal

    @property
    def market_value(self) -> Decimal:
        """Quote units; NaN prices cannot be: what is held was bought at one."""
        return self.quantity * self.price

    def body(self) -> dict[str, Any]:
        """The position as the API answers it: its symbol without the slash."""
        profit = self.market_value - self.cost
        share = profit / self.cost if self.cost else Decimal(0)
        return {
            "asset_id": self.asset.asset_id,
            "symbol": self.asset.symbol.replace("/", ""),
            "exchange": "CRYPTO",
            "asset_class": "crypto",
            "asset_marginable": False,
            "avg_entry_price": plain(rounded(self.cost / self.quantity)),
            "qty": plain(self.quantity),
            "qty_available": plain(self.available),
            "side": "long" if self.quantity > 0 else "short",
            "market_value": plain(rounded(self.market_value)),
            "cost_basis": plain(self.cost),
            "unrealized_pl": plain(rounded(profit)),
            "unrealized_plpc": plain(rounded(share)),
            "unrealized_intraday_pl": plain(rounded(profit)),
            "unrealized_intraday_plpc": plain(rounded(share)),
            "current_price": plain(self.price),
            "lastday_price": None,
            "change_today": None,
        }


@dataclass(frozen=True, slots=True)
class AccountFigures:
    """Cash, what is promised of it, and what the account is worth; quote units."""

    account_id: str
    currency: str
    created_ns: int
    cash: Decimal
    promised: Decimal
    holdings: Decimal
    last_equity: Decimal

    @property
    def equity(self) -> Decimal:
        """Cash and what is held at the last prices."""
        return self.cash + self.holdings

    @property
    def available(self) -> Decimal:
        """Cash that no order promises."""
        return self.cash - self.promised

    def body(self) -> dict[str, Any]:
        """The account as the API answers it."""
        equity, free = plain(rounded(self.equity)), plain(self.available)
        holdings = plain(rounded(self.holdings))
        return {
            "id": self.account_id,
            "account_number": f"PA{self.account_id[:10].replace('-', '').upper()}",
            "status": "ACTIVE",
            "crypto_status": "ACTIVE",
            "currency": self.currency,
            "cash": plain(self.cash),
            "buying_power": free,
            "non_marginable_buying_power": free,
            "regt_buying_power": free,
            "daytrading_buying_power": "0",
            "accrued_fees": "0",
            "pending_transfer_in": "0",
            "pending_transfer_out": "0",
            "portfolio_value": equity,
            "equity": equity,
            "last_equity": plain(rounded(self.last_equity)),
            "long_market_value": holdings,
            "short_market_value": "0",
            "initial_margin": "0",
            "maintenance_margin": "0",
            "last_maintenance_margin": "0",
            "sma": "0",
            "multiplier": "1",
            "daytrade_count": 0,
            "created_at": stamp(self.created_ns),
            "pattern_day_trader": False,
            "trading_blocked": False,
            "transfers_blocked": False,
            "account_blocked": False,
            "trade_suspended_by_user": False,
            "shorting_enabled": False,
        }
