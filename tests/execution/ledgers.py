"""Ledgers of two symbols, and fills as a venue reports them."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.execution.scenarios import START_NS, instrument, instruments, terms
from tradelake.execution.ledger import Ledger
from tradelake.execution.ledger_fills import VenueFill
from tradelake.execution.state import DAY_NS

BTC, ETH = "BTC/USD", "ETH/USD"
NOW_NS = START_NS + 41 * DAY_NS
ALPACA_TIERS = np.array([[0.0, 0.0, 0.0015, 0.0025]])


def ledger(cash: float = 100_000.0, **changes: Any) -> Ledger:
    rows = instruments(instrument(0), instrument(1, unit=1e-9))
    rules = terms(**{"tiers": ALPACA_TIERS, **changes})
    return Ledger([BTC, ETH], rows, rules, round(cash * 1e8))


def bought(quantity: str = "2", price: float = 40_000.0, **changes: Any) -> VenueFill:
    told: dict[str, Any] = {"id": "a", "symbol": BTC, "side": 1, "ts_ns": START_NS}
    return VenueFill(**{**told, "quantity": Decimal(quantity), "price": price, **changes})


@st.composite
def fills(draw: st.DrawFn) -> VenueFill:
    symbol = draw(st.sampled_from([BTC, ETH]))
    unit = Decimal("1e-8") if symbol == BTC else Decimal("1e-9")
    quantity = draw(st.integers(1, 10**12)) * unit
    price = draw(st.floats(1e-3, 1e5))
    asset = draw(st.sampled_from(["", symbol[:3], "USD"]))
    share = draw(st.fractions(Fraction(-1, 100), Fraction(1, 2)))
    of = quantity if asset != "USD" else quantity * Decimal(price)
    fee = of * share.numerator / share.denominator if asset else None
    return VenueFill(
        id=draw(st.text(min_size=1, max_size=3)),
        symbol=symbol,
        side=draw(st.sampled_from([1, -1])),
        quantity=quantity,
        price=price,
        ts_ns=START_NS + draw(st.integers(0, 40)) * 86_400 * 10**9,
        maker=draw(st.booleans()),
        fee=None if fee is None else fee.quantize(Decimal("1e-10")),
        fee_asset=asset,
    )
