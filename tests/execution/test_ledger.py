"""The ledger: the fills of any backtest make its account; nonsense changes nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.execution.ledgers import BTC, ETH, NOW_NS, bought, ledger
from tests.execution.scenarios import (
    Scenario,
    bar_scenario,
    bar_scenarios,
    feed,
    instrument,
    instruments,
    terms,
    tick_scenarios,
)
from tests.execution.test_ticks_twin import CompiledTicks
from tests.execution.test_twin_agrees import Compiled
from tradelake.errors import InvalidData
from tradelake.execution.layout import NONE, Side
from tradelake.execution.ledger import Ledger
from tradelake.execution.ledger_fills import VenueFill
from tradelake.execution.state import DAY_NS

ACCOUNT = ("cash", "fees_cash", "fees_value", "turnover", "fills")
POSITION = ("quantity", "cost", "realised", "fees_base", "turnover")


def reports(machine: Any, *, fees: bool) -> list[VenueFill]:
    """Return the fills of a run as a venue would report them."""
    names = list(machine.symbols)
    units = [Decimal(repr(float(unit))) for unit in machine.state.positions["unit"]]
    told = []
    for number, row in enumerate(machine.fills):
        symbol = int(row["symbol"])
        base, _, quote = names[symbol].partition("/")
        unit = units[symbol] if row["fee_in_base"] else Decimal("1e-8")
        fee: dict[str, Any] = {
            "fee": int(row["fee"]) * unit,
            "fee_asset": base if row["fee_in_base"] else quote,
        }
        told.append(
            VenueFill(
                id=f"fill {number}",
                symbol=names[symbol],
                side=int(row["side"]),
                quantity=int(row["quantity"]) * units[symbol],
                price=float(row["price"]),
                ts_ns=int(row["ts_ns"]),
                maker=bool(row["maker"]),
                **(fee if fees else {}),
            )
        )
    return told


def renames(scenario: Scenario) -> list[tuple[int, str, str]]:
    """Return the renames of a scenario: instant, old and new name."""
    names = scenario.symbols
    rows = scenario.instruments
    return [
        (int(row["from_ns"]), names[row["symbol"]], names[row["renamed_to"]])
        for row in np.sort(rows, order="from_ns")
        if row["renamed_to"] != NONE
    ]


def opens(machine: Any) -> list[int]:
    """Return of each fill when the input that filled it began: names are those of then (I1)."""
    bars = machine.bars[["symbol", "row", "open_ns"]].tolist()
    began = {(symbol, row): open_ns for symbol, row, open_ns in bars}
    fills = machine.fills[["symbol", "event", "ts_ns"]].tolist()
    return [began.get((symbol, event), ts_ns) for symbol, event, ts_ns in fills]


def agree(scenario: Scenario, kind: Any, *, fees: bool) -> None:
    """Book a run's fills and compare account and positions with the run's."""
    core = kind(scenario)
    feed(core, scenario)
    machine = core.machine
    made = Ledger(scenario.symbols, scenario.instruments, scenario.terms, scenario.cash_units)
    renamed = [
        (at, old, new)
        for at, old, new in renames(scenario)
        if at < machine.state.counters["dated_ns"][0]
    ]
    for fill, opened_ns in zip(reports(machine, fees=fees), opens(machine), strict=True):
        while renamed and renamed[0][0] <= opened_ns:
            made.rename(*renamed.pop(0)[1:])
        assert made.book(fill, NOW_NS)
        assert not made.book(fill, NOW_NS)
    for _, old, new in renamed:
        made.rename(old, new)
    for name in ACCOUNT:
        assert made._state.account[name][0] == machine.state.account[name][0], name
    for name in POSITION:
        ours, theirs = made._state.positions[name], machine.state.positions[name]
        np.testing.assert_array_equal(ours, theirs, name)


@settings(deadline=None, max_examples=100)
@given(bar_scenarios, st.booleans())
def test_fills_of_any_run_on_bars_make_its_account(scenario: Scenario, fees: bool) -> None:
    agree(scenario, Compiled, fees=fees)


def test_a_fill_inside_a_bar_keeps_the_name_its_open_had() -> None:
    agree(bar_scenario(3590, 33), Compiled, fees=False)


@settings(deadline=None, max_examples=60)
@given(tick_scenarios, st.booleans())
def test_fills_of_any_run_on_ticks_make_its_account(scenario: Scenario, fees: bool) -> None:
    agree(scenario, CompiledTicks, fees=fees)


def test_fee_of_the_venue_wins_over_the_rule() -> None:
    # 2 BTC at 40,000 as taker: 0.005 BTC by the tiers (Alpaca's fee page).
    by_rule, by_venue = ledger(), ledger()
    by_rule.book(bought(), NOW_NS)
    by_venue.book(bought(fee=Decimal("12.5"), fee_asset="USD"), NOW_NS)
    assert by_rule.fees() == {"BTC": Decimal("0.005")}
    assert by_venue.fees() == {"USD": Decimal("12.5")}
    assert by_rule.cash - by_venue.cash == Decimal("12.5")
    assert by_rule.holdings()[BTC].quantity == Decimal("1.995")
    assert by_venue.holdings()[BTC].average_price == 40_006.25


def test_figures_are_those_reckoned_by_hand() -> None:
    made = ledger(fee_in_quote=True)
    made.book(bought("2", 40_000.0, fee=Decimal(0), fee_asset="USD"), NOW_NS)
    made.book(bought("1", 43_000.0, id="b", fee=Decimal(0), fee_asset="USD"), NOW_NS)
    made.book(bought("1", 44_000.0, id="c", side=-1, fee=Decimal(11), fee_asset="USD"), NOW_NS)
    held = made.holdings()[BTC]
    assert held[:4] == (Decimal(2), 41_000.0, Decimal(82_000), Decimal(2_989))
    assert held.turnover == made.turnover == 167_000.0
    assert made.holdings()[ETH].quantity == 0
    assert made.cash == Decimal(100_000 - 80_000 - 43_000 + 44_000 - 11)
    assert made.unrealised({BTC: 45_000.0}) == {BTC: Decimal(8_000), ETH: Decimal(0)}
    assert made.exposure({BTC: 45_000.0}) == (Decimal(90_000), Decimal(90_000))
    assert made.equity({BTC: 45_000.0}) == made.cash + 90_000


def test_short_positions_count_as_gross_and_against_net_exposure() -> None:
    made = ledger(allow_short=True, tiers=np.array([[0.0, 0.0, 0.0, 0.0]]))
    made.book(bought("1", 40_000.0), NOW_NS)
    made.book(bought("10", 2_000.0, id="b", symbol=ETH, side=-1), NOW_NS)
    assert made.exposure({BTC: 41_000.0, ETH: 2_100.0}) == (Decimal(62_000), Decimal(20_000))
    assert made.unrealised({BTC: 41_000.0, ETH: 2_100.0})[ETH] == Decimal(-1_000)


@pytest.mark.parametrize(("side", "asset"), [(1, "BTC"), (1, "USD"), (-1, "BTC"), (-1, "USD")])
def test_a_fill_across_flat_is_booked_as_two_that_share_the_fee(side: int, asset: str) -> None:
    made = ledger(allow_short=True)
    nothing = {"fee": Decimal(0), "fee_asset": "USD"}
    made.book(bought("1", 100.0, side=-side, **nothing), NOW_NS)
    made.book(bought("3", 110.0, id="b", side=side, fee=Decimal("0.03"), fee_asset=asset), NOW_NS)
    held, in_base = made.holdings()[BTC], asset == "BTC"
    assert made.fills == 3
    assert made.fees() == {asset: Decimal("0.03")}
    assert held.quantity == 2 * side - (Decimal("0.03") if in_base else 0)
    assert made.cash + held.cost == 100_000 + held.realised
    if not in_base:
        assert held.realised == -10 * side - Decimal("0.01")


def test_a_fill_that_is_reported_twice_is_booked_once() -> None:
    made = ledger()
    assert made.book(bought("1.0"), NOW_NS)
    assert not made.book(bought("1.00"), NOW_NS)
    with pytest.raises(InvalidData, match="changed: fill 'a': expected what was reported before"):
        made.book(bought("1.1"), NOW_NS)
    assert made.holdings()[BTC].quantity == Decimal("0.9975")


NONSENSE: list[tuple[str, dict[str, Any]]] = [
    ("id", {"id": ""}),
    ("id", {"id": 7}),
    ("symbol", {"symbol": "DOGE/USD"}),
    ("symbol", {"symbol": ["BTC/USD"]}),
    ("side", {"side": 0}),
    ("side", {"side": True}),
    ("quantity", {"quantity": Decimal(0)}),
    ("quantity", {"quantity": Decimal(-1)}),
    ("quantity", {"quantity": Decimal("NaN")}),
    ("quantity", {"quantity": Decimal("Infinity")}),
    ("quantity", {"quantity": Decimal("1e-9")}),
    ("quantity", {"quantity": Decimal("1e-999999999")}),
    ("quantity", {"quantity": Decimal("1e999999999")}),
    ("quantity", {"quantity": Decimal("1e15")}),
    ("quantity", {"quantity": 1.5}),
    ("price", {"price": 0.0}),
    ("price", {"price": float("nan")}),
    ("price", {"price": float("inf")}),
    ("price", {"price": "40000"}),
    ("time", {"ts_ns": -1}),
    ("time", {"ts_ns": 2**63}),
    ("time", {"ts_ns": 1.5}),
    ("time", {"ts_ns": NOW_NS + DAY_NS + 1}),
    ("maker", {"maker": 1}),
    ("fee", {"fee_asset": "USD"}),
    ("fee", {"fee": Decimal("NaN"), "fee_asset": "USD"}),
    ("fee", {"fee": 1.0, "fee_asset": "USD"}),
    ("fee", {"fee": Decimal(3), "fee_asset": "BTC"}),
    ("fee", {"fee": Decimal(80_001), "fee_asset": "USD"}),
    ("fee_asset", {"fee": Decimal(1), "fee_asset": "BNB"}),
    ("fee_asset", {"fee": Decimal(1), "fee_asset": ""}),
    ("oversold", {"side": Side.SELL}),
    ("oversold", {"side": -1, "quantity": Decimal(1), "fee": Decimal("1e-8"), "fee_asset": "BTC"}),
]


@pytest.mark.parametrize(("rule", "changes"), NONSENSE)
def test_a_fill_that_makes_no_sense_is_refused_and_changes_nothing(
    rule: str, changes: dict[str, Any]
) -> None:
    made = ledger()
    made.book(bought("1", id="first", fee=Decimal(0), fee_asset="USD"), NOW_NS)
    before = made.saved()
    with pytest.raises(InvalidData, match=rf"^{rule}: fill "):
        made.book(msgspec.structs.replace(bought(), **changes), NOW_NS)
    assert made.saved() == before
    assert made.book(bought(), NOW_NS)


def test_an_account_that_would_not_fit_is_refused() -> None:
    made = ledger(allow_short=True)
    assert made.book(bought("1e10", 3.9), NOW_NS)
    with pytest.raises(InvalidData, match=r"^overflow: fill 'b'"):
        made.book(bought("1e10", 3.9, id="b"), NOW_NS)
    assert made.holdings()[BTC].quantity == Decimal(9975000000)


def test_positions_are_carried_over_when_a_symbol_is_renamed() -> None:
    rows = instruments(instrument(0), instrument(1), instrument(2, unit=1e-9))
    made = Ledger([BTC, "XBT/USD", ETH], rows, terms(), 10**14)
    made.book(bought("2"), NOW_NS)
    made.rename(BTC, "XBT/USD")
    assert made.holdings()["XBT/USD"][:3] == (Decimal(2), 40_000.0, Decimal(80_000))
    assert made.holdings()[BTC].quantity == 0
    with pytest.raises(InvalidData, match="unit"):
        made.rename(BTC, ETH)
    with pytest.raises(InvalidData, match="symbol"):
        made.rename(BTC, "DOGE/USD")


def test_what_is_long_and_what_is_short_closes_when_one_is_renamed_to_the_other() -> None:
    rows = instruments(instrument(0), instrument(1))
    made = Ledger([BTC, "XBT/USD"], rows, terms(allow_short=True), 10**14)
    made.book(bought("10", 100.0), NOW_NS)
    made.book(bought("4", 90.0, id="b", symbol="XBT/USD", side=-1), NOW_NS)
    made.rename(BTC, "XBT/USD")
    assert made.holdings()["XBT/USD"][:4] == (Decimal(6), 100.0, Decimal(600), Decimal(-40))
    made.book(bought("6", 110.0, id="c", symbol=BTC, side=-1), NOW_NS)
    made.rename(BTC, "XBT/USD")
    assert made.holdings()["XBT/USD"].cost == 0
    assert made.holdings()["XBT/USD"].realised == Decimal(20)
    assert made.cash == Decimal(10**6 + 20)


def test_a_rename_is_refused_when_both_positions_do_not_fit_together() -> None:
    rows = instruments(instrument(0), instrument(1))
    made = Ledger([BTC, "XBT/USD"], rows, terms(), 10**14)
    for name in (BTC, "XBT/USD"):
        for number in range(2):
            made.book(bought("3e10", 1e-9, id=f"{name} {number}", symbol=name), NOW_NS)
    before = made.saved()
    with pytest.raises(InvalidData, match=r"^overflow: "):
        made.rename(BTC, "XBT/USD")
    assert made.saved() == before


@pytest.mark.parametrize("prices", [{}, {BTC: 0.0}, {BTC: float("nan")}])
def test_figures_are_refused_when_what_is_held_has_no_price(prices: dict[str, float]) -> None:
    made = ledger()
    assert made.equity({}) == 100_000
    made.book(bought(), NOW_NS)
    with pytest.raises(InvalidData, match="price: expected a price of BTC/USD"):
        made.equity(prices)


def test_the_fee_tier_goes_on_with_the_days_when_a_fill_was_reported_from_the_future() -> None:
    # Alpaca's first tiers (its fee page): a taker pays 0.25 %, from 100,000 USD a month 0.22 %.
    tiers = np.array([[0.0, 0.0, 0.0015, 0.0025], [0.0, 100_000.0 * 1e8, 0.0012, 0.0022]])
    made = ledger(cash=1e6, tiers=tiers)
    with pytest.raises(InvalidData, match=r"^time: fill 'a': expected no later than"):
        made.book(bought(ts_ns=NOW_NS + 400 * DAY_NS), NOW_NS)
    made.book(bought("1", 100_000.0, ts_ns=NOW_NS + DAY_NS), NOW_NS)
    made.book(bought("1", 100_000.0, id="b", ts_ns=NOW_NS + 2 * DAY_NS), NOW_NS + 2 * DAY_NS)
    assert made.fees() == {"BTC": Decimal("0.0047")}


@pytest.mark.parametrize("names", [["BTC", "ETH/USD"], ["BTC/USD", "ETH/EUR"], ["/USD", "A/USD"]])
def test_symbols_of_no_single_quote_currency_are_refused(names: list[str]) -> None:
    with pytest.raises(InvalidData, match="symbols: expected BASE/QUOTE of one quote currency"):
        Ledger(names, instruments(instrument(0), instrument(1)), terms(), 0)
