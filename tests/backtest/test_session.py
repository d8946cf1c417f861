"""A run from data to result: styles that agree, no look-ahead, limits, bad data, bad strategies."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradelake.backtest import engine
from tradelake.backtest.limits import Limits
from tradelake.backtest.screen import Screen, screen_bars
from tradelake.backtest.session import run
from tradelake.errors import ConfigError, InsufficientData, InvalidData
from tradelake.execution.broker import BrokerRules, flat_fee
from tradelake.execution.costs import Costs
from tradelake.market.arrays import BarArrays
from tradelake.strategies.adapters import as_events
from tradelake.strategies.event import EventStrategy
from tradelake.strategies.library import make

MINUTE_NS = 60_000_000_000
START_NS = 1_700_000_040_000_000_000
PLAIN = BrokerRules("plain", fees=flat_fee(25.0))


def walk(size: int = 300, seed: int = 0, symbol: str = "BTC/USD") -> BarArrays:
    drawn = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(drawn.normal(0.0, 0.01, size)))
    open_ = np.concatenate(([100.0], close[:-1]))
    high = np.maximum(open_, close) * (1.0 + drawn.random(size) * 0.01)
    low = np.minimum(open_, close) * (1.0 - drawn.random(size) * 0.01)
    ts_ns = START_NS + np.arange(size) * MINUTE_NS
    return BarArrays(symbol, "1m", ts_ns, open_, high, low, close, drawn.exponential(50.0, size))


@dataclass
class Scripted(EventStrategy):
    """Does what its functions say."""

    bar: object = None
    fill: object = None
    timer: object = None
    start: object = None
    name: str = "scripted"
    parameters: dict = field(default_factory=dict)
    told: list = field(default_factory=list)

    def on_start(self, ctx):
        if self.start:
            self.start(ctx)

    def on_bar(self, ctx):
        self.told.append(
            (ctx.now_ns, ctx.symbol, ctx.close, ctx.held, ctx.cash, ctx.equity, len(ctx.orders))
        )
        if self.bar:
            self.bar(ctx)

    def on_fill(self, ctx, fill):
        self.told.append((ctx.now_ns, fill.order, fill.quantity, fill.price, ctx.cash))
        if self.fill:
            self.fill(ctx, fill)

    def on_timer(self, ctx, name):
        self.told.append((ctx.now_ns, name))
        if self.timer:
            self.timer(ctx, name)


def bracketeer(ctx):
    """Buy with a stop and a target when flat; now and then leave at random."""
    if ctx.held == 0.0 and not ctx.orders:
        price = ctx.close
        ctx.buy(ctx.symbol, notional=1_000.0, stop_exit=price * 0.99, target_exit=price * 1.01)
    elif ctx.rng.random() < 0.1:
        for order in ctx.orders:
            ctx.cancel(order.order)
        ctx.close_position(ctx.symbol)


def same(one, other) -> None:
    for table in ("orders", "fills", "account", "positions"):
        left, right = getattr(one.books, table), getattr(other.books, table)
        assert len(left) == len(right)
        for name in left.dtype.names:
            assert np.array_equal(left[name], right[name], equal_nan=True), (table, name)
    assert np.array_equal(one.books.equity, other.books.equity)


@pytest.mark.parametrize("rung", [1, 2])
@pytest.mark.parametrize("symbols", [("BTC/USD",), ("BTC/USD", "ETH/USD", "SOL/USD")])
def test_event_driven_and_vectorised_runs_have_the_same_orders_and_fills(rung, symbols) -> None:
    data = [walk(seed=at, symbol=symbol) for at, symbol in enumerate(symbols)]
    strategy = make("sma_cross", {"fast": 5, "slow": 20})
    vectors = run(data, strategy, rung=rung)
    events = run(data, as_events(strategy), rung=rung)
    assert len(vectors.books.fills) > 10
    same(vectors, events)
    assert (vectors.style, events.style) == ("vectorised", "event")


def test_a_run_gives_the_first_engines_account_when_fills_are_whole() -> None:
    bars = walk(1_000, 3)
    strategy = make("sma_cross", {"fast": 5, "slow": 20})
    result = run(bars, strategy, broker=PLAIN, rung=1, cash=10_000.0)
    old = engine.run(bars, strategy)
    assert result.equity_values[-1] == pytest.approx(old.equity[-1], rel=1e-9)
    closed = result.trips[~result.trips["is_open"]]
    assert len(closed) == np.count_nonzero(~old.trades.is_open)


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(10, 190), seed=st.integers(0, 5), other=st.integers(6, 9))
def test_nothing_seen_or_done_up_to_a_bar_changes_when_later_data_does(cut, seed, other) -> None:
    known, unknown = walk(200, seed), walk(200, other)
    columns = {
        name: np.concatenate((getattr(known, name)[:cut], getattr(unknown, name)[cut:]))
        for name in ("open", "high", "low", "close", "volume")
    }
    mixed = BarArrays("BTC/USD", "1m", known.ts_event_ns, **columns)
    first, second = Scripted(bracketeer), Scripted(bracketeer)
    one, two = run(known, first), run(mixed, second)
    until_ns = int(known.close_ns[cut - 1])
    assert [t for t in first.told if t[0] < until_ns] == [t for t in second.told if t[0] < until_ns]
    sent = [r.books.orders["submitted_ns"][r.books.orders["submitted_ns"] <= until_ns]
            for r in (one, two)]  # fmt: skip
    assert np.array_equal(*sent)


def test_value_is_conserved_to_the_last_unit_when_brackets_trade() -> None:
    result = run(walk(2_000), Scripted(bracketeer))
    net = (result.trips["pnl"] - result.trips["fees"]).sum()
    assert len(result.trips) > 20
    assert result.equity_values[-1] - result.cash == pytest.approx(net, abs=1e-6)
    assert result.equity["cash"].iloc[-1] == pytest.approx(
        result.books.account["cash"][0] * 1e-8, abs=1e-6
    )


def test_the_same_run_gives_the_same_result_when_the_seed_is_the_same() -> None:
    same(run(walk(), Scripted(bracketeer), seed=7), run(walk(), Scripted(bracketeer), seed=7))


def test_timers_are_called_at_their_instants_between_bars() -> None:
    def start(ctx) -> None:
        ctx.timer("tick", at_ns=START_NS + 90_000_000_000, every_ns=120_000_000_000)
        ctx.timer("once", at_ns=START_NS + 45_000_000_000)

    strategy = Scripted(start=start)
    run(walk(10), strategy)
    called = [(told[0] - START_NS, told[1]) for told in strategy.told if len(told) == 2]
    assert called[:3] == [
        (45_000_000_000, "once"),
        (90_000_000_000, "tick"),
        (210_000_000_000, "tick"),
    ]
    assert [told[0] for told in strategy.told] == sorted(told[0] for told in strategy.told)


def test_a_fill_is_told_before_the_bar_it_happened_in() -> None:
    strategy = Scripted(lambda ctx: ctx.held or ctx.buy(ctx.symbol, 1.0))
    bars = walk(4)
    run(bars, strategy, rung=1)
    assert strategy.told[0][3] == 0.0
    assert strategy.told[1][:3] == (int(bars.close_ns[0]), 0, 1.0)
    assert strategy.told[2][3] == pytest.approx(0.9975)


def boom(_ctx) -> None:
    raise ZeroDivisionError("no")


def test_run_fails_with_strategy_callback_and_instant_when_a_strategy_raises() -> None:
    bars = walk(5)
    with pytest.raises(InvalidData, match=rf"scripted in on_bar of BTC/USD at {bars.close_ns[0]}"):
        run(bars, Scripted(boom))
    with pytest.raises(InvalidData, match=r"in on_fill .* after order 0: ZeroDivisionError: no"):
        run(bars, Scripted(lambda ctx: ctx.buy(ctx.symbol, 1.0), lambda c, _: boom(c)), rung=1)


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (lambda ctx: ctx.buy(ctx.symbol, float("nan")), "bad_quantity"),
        (lambda ctx: ctx.buy(ctx.symbol, -1.0), "bad_quantity"),
        (lambda ctx: ctx.buy(ctx.symbol, 1.0, limit=float("nan")), "bad_price"),
        (lambda ctx: ctx.sell(ctx.symbol, 1.0, limit=90.0), "insufficient_quantity"),
        (lambda ctx: ctx.buy("DOGE/USD", 1.0), "unknown_symbol"),
    ],
)
def test_bad_orders_are_rejected_with_their_reason_and_the_run_goes_on(order, reason) -> None:
    result = run(walk(5), Scripted(order))
    assert result.rejects[reason] >= 3
    assert result.orders["reason"].iloc[0] == reason
    assert result.equity_values[-1] == result.cash


def loop(_ctx) -> None:
    while True:
        try:
            pass
        except Exception:  # noqa: BLE001 - a strategy that catches everything
            continue


def test_run_ends_with_strategy_and_time_when_a_callback_never_returns() -> None:
    with pytest.raises(InvalidData, match=r"scripted on BTC/USD: expected an end within 0.3 s"):
        run(walk(5), Scripted(loop), limits=Limits(seconds=0.3))
    assert run(walk(5), Scripted()).equity_values[-1] > 0.0


def test_run_ends_when_a_strategy_sends_too_many_orders() -> None:
    def many(ctx) -> None:
        while True:
            ctx.buy(ctx.symbol, 1.0, limit=1.0)

    with pytest.raises(InvalidData, match=r"limit: scripted in on_bar .* more than 100 orders"):
        run(walk(5), Scripted(many), limits=Limits(orders=100))


def columns_of(bars: BarArrays, **changed) -> dict:
    columns = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close")}
    return {"ts_ns": bars.ts_event_ns.copy(), "volume": bars.volume.copy(), **columns, **changed}


def broken(rule: str) -> dict:
    columns = columns_of(walk(10))
    match rule:
        case "gaps":
            columns = {name: np.delete(column, [4, 5]) for name, column in columns.items()}
        case "duplicates":
            columns["ts_ns"][4] = columns["ts_ns"][3]
        case "zero_volume":
            columns["volume"][4] = 0.0
        case "ranges":
            columns["high"][4] = columns["low"][4] * 0.5
    return columns


RULES = ("gaps", "duplicates", "zero_volume", "ranges")


@pytest.mark.parametrize("rule", RULES)
def test_bad_data_is_refused_with_its_rule_and_row_when_so_configured(rule) -> None:
    with pytest.raises(InvalidData, match=rf"{rule}: BTC/USD: .* the first at row 4") as refused:
        screen_bars("BTC/USD", "1m", broken(rule), Screen(**{rule: "refuse"}))
    assert refused.value.rule == rule


@pytest.mark.parametrize("rule", RULES[1:])
def test_bad_rows_are_left_out_and_told_when_masked(rule) -> None:
    chosen = Screen(**{rule: "mask"})
    bars, findings = screen_bars("BTC/USD", "1m", broken(rule), chosen)
    assert len(bars) == 9
    assert [(one.rule, one.action, one.rows) for one in findings if one.rule == rule] == [
        (rule, "mask", 1)
    ]


def test_missing_bars_are_counted_in_the_result_when_flagged() -> None:
    bars, _ = screen_bars("BTC/USD", "1m", broken("gaps"), Screen())
    found = run(bars, make("buy_and_hold", {})).findings
    assert [(one.rule, one.rows) for one in found] == [("gaps", 2)]
    with pytest.raises(InvalidData, match="gaps: BTC/USD"):
        run(bars, make("buy_and_hold", {}), screen=Screen(gaps="refuse"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rung": 3}, "rung: expected auto or 1 to 2"),
        ({"cash": float("nan")}, "cash: expected"),
        ({"broker": "nobody"}, "broker: expected one of"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(changed, message) -> None:
    with pytest.raises(ConfigError, match=message):
        run(walk(5), make("buy_and_hold", {}), **changed)


def test_a_screen_refuses_what_makes_no_sense() -> None:
    with pytest.raises(ConfigError, match=r"screen.gaps: expected one of refuse, flag"):
        Screen(gaps="mask")


def test_too_few_bars_or_another_timeframe_are_refused() -> None:
    with pytest.raises(InsufficientData, match="at least 2 bars; found 1"):
        run(walk(1), make("buy_and_hold", {}))
    with pytest.raises(ConfigError, match="every symbol once"):
        run([walk(5), walk(5)], make("buy_and_hold", {}))


def test_rung_is_the_first_when_bars_have_no_volume() -> None:
    bars = walk(5)
    silent = BarArrays("BTC/USD", "1m", bars.ts_event_ns, **columns_of_prices(bars))
    assert run(silent, make("buy_and_hold", {})).rung == 1
    assert run(bars, make("buy_and_hold", {})).rung == 2


def columns_of_prices(bars: BarArrays) -> dict:
    return {
        **{name: getattr(bars, name) for name in ("open", "high", "low", "close")},
        "volume": np.zeros(len(bars)),
    }


def test_result_shows_itself_as_frames_picture_and_page(tmp_path) -> None:
    result = run([walk(300), walk(300, 1, "ETH/USD")], Scripted(bracketeer), costs=Costs.none())
    assert list(result.equity.columns) == ["equity", "cash", "BTC/USD", "ETH/USD"]
    worth = result.equity[["cash", "BTC/USD", "ETH/USD"]].sum(axis=1)
    assert np.allclose(worth, result.equity["equity"], atol=1e-6)
    assert len(result.orders) == len(result.books.orders)
    assert result.fills["value"].sum() == pytest.approx(result.books.account["turnover"][0] * 1e-8)
    assert set(result.trades["side"]) == {"long"}
    assert result.plot()._repr_svg_().startswith("<svg")
    page = result.report(tmp_path / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert result.title in page
    assert "Rung 2" in result._repr_html_()
    assert set(result.manifest["data"]) == {"BTC/USD", "ETH/USD"}
    assert result.metrics().trades == np.count_nonzero(~result.trips["is_open"])
