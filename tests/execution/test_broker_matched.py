"""What becomes of a broker's rules, costs and instruments when orders are matched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tradelake.execution.broker import DAY_NS, BrokerRules, terms
from tradelake.execution.brokers import ALPACA, IDEAL
from tradelake.execution.brokers.alpaca import MAKER_TAKER_NS, TEN_DOLLARS_NS
from tradelake.execution.costs import Costs, Participation, VolumeShareSlippage
from tradelake.execution.instruments import InstrumentHistory, InstrumentTerms
from tradelake.execution.layout import CASH_UNITS, OrderType, Reason, Side, Status
from tradelake.execution.machine import Machine
from tradelake.execution.state import BAR
from tradelake.execution.terms import Trading

BTC = "BTC/USD"
START_NS = 1_767_225_600_000_000_000
"""2026-01-01."""


def machine(
    broker: BrokerRules,
    *,
    price: float = 40_000.0,
    days: int = 3,
    start_ns: int = START_NS,
    costs: Costs | None = None,
    history: InstrumentHistory | None = None,
    volume: float = 1e6,
    cash: float = 1e9,
    rung: int = 2,
) -> Machine:
    rows = broker.instruments(history or InstrumentHistory(), [BTC], [price])
    venue = Machine([BTC], rows, terms(broker, costs or Costs.none(), rung), int(cash * CASH_UNITS))
    bars = np.zeros(days, BAR)
    bars["open_ns"] = start_ns + np.arange(days) * DAY_NS
    bars["close_ns"] = bars["open_ns"] + DAY_NS
    for name in ("open", "high", "low", "close"):
        bars[name] = price
    bars["volume"] = volume
    bars["row"], bars["previous"] = np.arange(days), np.arange(-1, days - 1)
    venue.load(bars)
    return venue


def placed(venue: Machine, side: Side, quantity: float, **given: object) -> np.void:
    """Send an order before the first bar, match the bars, and return its row."""
    order = venue.place(BTC, side, quantity, now_ns=int(venue.bars["open_ns"][0]), **given)
    venue.advance(0, len(venue.bars), stops=False)
    return venue.orders[order]


def test_fee_is_taken_in_bitcoin_when_two_are_bought_at_40000() -> None:
    venue = machine(ALPACA)
    placed(venue, Side.BUY, 2.0)
    assert venue.fills["fee"].tolist() == [5_000_000], "0.005 BTC (Alpaca's fee page)"
    assert venue.state.positions["quantity"].tolist() == [1_995_000_000]


def test_fee_is_taken_in_dollars_when_two_are_sold_at_40000() -> None:
    venue = machine(replace(ALPACA, allow_short=True))
    placed(venue, Side.SELL, 2.0)
    assert venue.fills["fee"].tolist() == [200 * 10**8], "200 USD (Alpaca's fee page)"


def test_fee_of_each_day_is_the_tiers_when_volume_grows_and_the_table_changes() -> None:
    broker = replace(ALPACA, largest_notional=0.0)
    days = 90
    venue = machine(broker, days=days, start_ns=MAKER_TAKER_NS - 45 * DAY_NS, cash=9e10)
    rng = np.random.default_rng(5)
    fills_ns: list[int] = []
    notionals: list[float] = []
    for day in range(days):
        now_ns = int(venue.bars["open_ns"][day])
        notional = float(10.0 ** rng.uniform(4.0, 8.0)) if rng.random() < 0.4 else 0.0
        due = broker.tier(now_ns, fills_ns, notionals)
        before = len(venue.fills)
        if notional > 0.0:
            venue.place(BTC, Side.BUY, round(notional / 40_000.0, 6), now_ns=now_ns)
        venue.advance(day, day + 1, stops=False)
        for fill in venue.fills[before:]:
            assert fill["fee"] == np.rint(fill["quantity"] * (due.taker_bps / 10_000.0)), day
            fills_ns.append(int(fill["ts_ns"]))
            notionals.append(float(fill["value"]) / CASH_UNITS)
    rates = {round(1e4 * fill["fee"] / fill["quantity"]) for fill in venue.fills}
    assert len(rates) > 4, "several tiers were met"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"quantity": 5.1}, Reason.ABOVE_CAP),
        ({"quantity": 0.00002}, Reason.BELOW_MINIMUM),
        ({"quantity": 0.00049, "limit": 40_000.0, "kind": OrderType.LIMIT}, Reason.BELOW_MINIMUM),
        ({"quantity": 1.0, "limit": 40_000.3, "kind": OrderType.LIMIT}, Reason.OFF_INCREMENT),
        ({"quantity": 1.0, "side": Side.SELL}, Reason.INSUFFICIENT_QUANTITY),
        ({"quantity": float("nan")}, Reason.BAD_QUANTITY),
        ({"quantity": -1.0}, Reason.BAD_QUANTITY),
    ],
)
def test_alpaca_rejects_when_an_order_breaks_its_rules(given, reason) -> None:
    history = InstrumentHistory.of(
        BTC, min_order_size="0.0005", min_trade_increment="1e-9", price_increment="0.5"
    )
    venue = machine(ALPACA, history=history)
    venue.advance(0, 1, stops=False)
    now_ns = int(venue.bars["close_ns"][0])
    side, quantity = given.get("side", Side.BUY), given["quantity"]
    rest = {name: given[name] for name in ("kind", "limit") if name in given}
    row = venue.place(BTC, side, quantity, now_ns=now_ns, **rest)
    venue.advance(1, 3, stops=False)
    assert Status(venue.orders[row]["status"]) == Status.REJECTED
    assert Reason(venue.orders[row]["reason"]) == reason
    assert ALPACA.rejection(reason).code in (40310000, 40010001, 42210000)


@pytest.mark.parametrize(
    ("start_ns", "status"),
    [
        (TEN_DOLLARS_NS - 3 * DAY_NS, Status.FILLED),
        (TEN_DOLLARS_NS, Status.REJECTED),
    ],
)
def test_five_dollars_are_too_few_when_ten_are_asked(start_ns, status) -> None:
    venue = machine(ALPACA, days=2, start_ns=start_ns)
    venue.advance(0, 1, stops=False)
    row = venue.place(BTC, Side.BUY, 0.000125, now_ns=int(venue.bars["close_ns"][0]))
    venue.advance(1, 2, stops=False)
    assert Status(venue.orders[row]["status"]) == status


@pytest.mark.parametrize("kind", [OrderType.STOP, OrderType.TRAILING_STOP])
def test_stops_are_rejected_when_we_hold_nothing_for_the_venue(kind) -> None:
    strict = replace(ALPACA, hold_unoffered=False)
    given = {"kind": kind, "stop": 41_000.0} if kind == OrderType.STOP else {"kind": kind}
    given = {**given, "trail": -0.01} if kind == OrderType.TRAILING_STOP else given
    refused = placed(machine(strict), Side.BUY, 1.0, **given)
    held = placed(machine(ALPACA), Side.BUY, 1.0, **given)
    assert (refused["status"], refused["reason"]) == (Status.REJECTED, Reason.UNSUPPORTED)
    assert held["status"] == Status.WORKING


def test_a_bracket_is_rejected_when_its_stop_is_not_offered() -> None:
    venue = machine(replace(ALPACA, hold_unoffered=False))
    entry = venue.bracket(BTC, Side.BUY, 1.0, now_ns=START_NS, stop_loss=1.0, take_profit=1e6)
    venue.advance(0, 3, stops=False)
    assert venue.orders[entry]["reason"] == Reason.UNSUPPORTED
    assert len(venue.fills) == 0


def test_a_holding_shrinks_by_the_fee_when_increments_are_coarser_than_it() -> None:
    # As seen at Alpaca: a buy of 0.0002 BTC left 0.0001995.
    history = InstrumentHistory.of(BTC, min_trade_increment="0.0001")
    venue = machine(ALPACA, history=history, price=60_000.0)
    placed(venue, Side.BUY, 0.00025)
    assert venue.state.positions["quantity"].tolist() == [199_500]


def test_half_fills_when_zipline_fills_half() -> None:
    # Zipline: order 100, volume 2,000, at most 2.5 %, impact 0.1, price 3.5 -> 50 at 3.50021875.
    costs = Costs(slippage=VolumeShareSlippage(0.1), participation=Participation(0.025))
    venue = machine(IDEAL, price=3.5, volume=2_000.0, costs=costs, days=1)
    row = placed(venue, Side.BUY, 100.0)
    assert row["filled"] * venue.state.positions["unit"][0] == pytest.approx(50.0)
    assert venue.fills["price"][0] == pytest.approx(3.50021875, abs=1e-12)


@pytest.mark.parametrize(
    ("trading", "reason"),
    [
        (Trading.OPEN, Reason.NONE),
        (Trading.HALTED, Reason.HALTED),
        (Trading.DELISTED, Reason.DELISTED),
    ],
)
def test_an_order_is_rejected_when_its_instrument_does_not_trade(trading, reason) -> None:
    history = InstrumentHistory().with_symbol(
        BTC, InstrumentTerms(0), InstrumentTerms(START_NS + DAY_NS // 2, trading=trading)
    )
    venue = machine(ALPACA, history=history)
    venue.advance(0, 1, stops=False)
    row = venue.place(BTC, Side.BUY, 1.0, now_ns=START_NS + DAY_NS)
    venue.advance(1, 3, stops=False)
    assert Reason(venue.orders[row]["reason"]) == reason
