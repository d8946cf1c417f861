"""Alpaca's crypto venue: fees, limits and answers, by date.

Sources, all below https://alpaca.markets: the fees since 2023 in support/crypto-maker-taker-gmt-faq
("effective from March 13th 2023"), those before in docs/crypto/activities, whose example is of
2022-08-12; orders in docs/crypto/orders. The smallest order is from users' reports
(github.com/ccxt/ccxt/pull/30101): it binds buys for USD only.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from tradelake.execution.broker import BrokerRules, FeeSchedule, FeeTier, Rejection
from tradelake.execution.instruments import MinimumNotional
from tradelake.execution.layout import OrderType, Reason, TimeInForce

FIRST_KNOWN_NS: Final = 1_660_262_400_000_000_000
"""2022-08-12: the first day of which a table of fees is known."""
MAKER_TAKER_NS: Final = 1_678_665_600_000_000_000
"""2023-03-13."""
TEN_DOLLARS_NS: Final = 1_787_616_000_000_000_000
"""2026-08-25: orders of less than 10 USD were reported refused; before, of less than 1 USD."""
LARGEST_ORDER_USD: Final = 200_000.0

MAKER_TAKER: Final = (
    FeeTier(0.0, 15.0, 25.0),
    FeeTier(100e3, 12.0, 22.0),
    FeeTier(500e3, 10.0, 20.0),
    FeeTier(1e6, 8.0, 18.0),
    FeeTier(10e6, 5.0, 15.0),
    FeeTier(25e6, 2.0, 13.0),
    FeeTier(50e6, 2.0, 12.0),
    FeeTier(100e6, 0.0, 10.0),
)
"""Since 2023-03-13."""
ONE_FEE: Final = (
    FeeTier(0.0, 25.0, 25.0),
    FeeTier(500e3, 22.0, 22.0),
    FeeTier(1e6, 20.0, 20.0),
    FeeTier(5e6, 18.0, 18.0),
    FeeTier(10e6, 15.0, 15.0),
    FeeTier(25e6, 13.0, 13.0),
    FeeTier(50e6, 10.0, 10.0),
    FeeTier(100e6, 8.0, 8.0),
)
"""In 2022, for orders sent over the API: makers paid what takers did."""

REJECTIONS: Final = MappingProxyType(
    {
        Reason.UNKNOWN_SYMBOL: Rejection(422, 42210000, 'could not find asset "{symbol}"'),
        Reason.BAD_QUANTITY: Rejection(422, 40010001, "qty must be > 0"),
        Reason.BAD_PRICE: Rejection(422, 42210000, "limit price must be > 0"),
        Reason.OFF_INCREMENT: Rejection(
            422, 42210000, "price is not a multiple of the asset's price increment"
        ),
        Reason.DELISTED: Rejection(422, 42210000, "asset {symbol} is not active"),
        Reason.HALTED: Rejection(422, 42210000, "asset {symbol} is not tradable"),
        Reason.UNSUPPORTED: Rejection(
            422, 40010001, "invalid order type for crypto order", verified=True
        ),
        Reason.BELOW_MINIMUM: Rejection(
            403, 40310000, "cost basis must be >= minimal amount of order {minimum}", verified=True
        ),
        Reason.ABOVE_CAP: Rejection(403, 40310000, "order notional must be <= {cap}"),
        Reason.INSUFFICIENT_QUANTITY: Rejection(
            403,
            40310000,
            "insufficient balance for {asset} (requested: {requested}, available: {available})",
            verified=True,
        ),
        Reason.INSUFFICIENT_BALANCE: Rejection(
            403,
            40310000,
            "insufficient balance for {asset} (requested: {requested}, available: {available})",
            verified=True,
        ),
        Reason.TOO_MANY_ORDERS: Rejection(403, 40310000, "too many open orders"),
        Reason.PARENT_ENDED: Rejection(422, 42210000, "order is not open"),
    }
)
"""What is marked ``verified`` users of the API reported; of the rest the text is our guess."""
BAD_TIF: Final = Rejection(422, 42210000, "invalid crypto time_in_force", verified=True)
NOT_FOUND: Final = Rejection(404, 40410000, "order not found for {order}")
DUPLICATE_CLIENT_ORDER_ID: Final = Rejection(
    422, 40010001, "client_order_id must be unique", verified=True
)

ALPACA: Final = BrokerRules(
    name="alpaca",
    fees=(
        FeeSchedule(0, MAKER_TAKER),
        FeeSchedule(FIRST_KNOWN_NS, ONE_FEE),
        FeeSchedule(MAKER_TAKER_NS, MAKER_TAKER),
    ),
    fees_assumed_until_ns=FIRST_KNOWN_NS,
    order_types=frozenset({OrderType.MARKET, OrderType.LIMIT, OrderType.STOP_LIMIT}),
    tifs=frozenset({TimeInForce.GTC, TimeInForce.IOC}),
    brackets=False,
    largest_notional=LARGEST_ORDER_USD,
    minimum_notional=(
        MinimumNotional(0, 1.0, "USD"),
        MinimumNotional(TEN_DOLLARS_NS, 10.0, "USD"),
    ),
    rejections=REJECTIONS,
)
"""No margin, no shorts; fees in the asset received."""
