"""Markets that go wrong: ruin, halts, renames, delistings, bars of events; and indices outside."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.backtest.test_hostile import flat, once
from tests.backtest.test_session import MINUTE_NS, PLAIN, START_NS, Scripted, bracketeer, same, walk
from tradelake.backtest.session import run
from tradelake.errors import ConfigError, InsufficientData, InvalidData
from tradelake.execution.instrument_terms import InstrumentTerms, Trading
from tradelake.execution.instruments import InstrumentHistory
from tradelake.market.arrays import BarArrays
from tradelake.strategies.adapters import as_events
from tradelake.strategies.compiled import CompiledStrategy
from tradelake.strategies.library import make

BTC = "BTC/USD"


def cross():
    return make("sma_cross", {"fast": 2, "slow": 5})


def part(first: int, last: int, symbol: str = BTC) -> BarArrays:
    return walk(200, symbol=symbol).take(first, last)


def event_bars(timeframe: str, symbol: str = BTC, seed: int = 0) -> BarArrays:
    one = walk(80, symbol=symbol)
    ts_ns = START_NS + np.cumsum(np.random.default_rng(seed).integers(1, MINUTE_NS, 80))
    columns = (one.open, one.high, one.low, one.close, one.volume)
    return BarArrays(symbol, timeframe, ts_ns, *columns, over_ns=ts_ns + 1)


def jump(price: float) -> BarArrays:
    prices = np.where(np.arange(60) < 30, 100.0, price)
    ts_ns = START_NS + np.arange(60) * MINUTE_NS
    return BarArrays(BTC, "1m", ts_ns, prices, prices, prices, prices, np.full(60, 1e9))


@pytest.mark.parametrize(
    "data",
    [
        [part(0, 60), part(30, 80, "ETH/USD")],
        [part(0, 60), part(150, 200, "ETH/USD")],
        [part(0, 200), part(90, 92, "ETH/USD")],
    ],
    ids=["overlapping", "apart", "two bars"],
)
def test_styles_agree_when_symbols_have_different_ranges(data) -> None:
    vectors, events = run(data, cross()), run(data, as_events(cross()))
    same(vectors, events)
    assert len(vectors.books.fills)


def test_a_symbol_without_bars_is_refused_by_name() -> None:
    with pytest.raises(InsufficientData, match="ETH/USD 1m: expected at least 2 bars; found 0"):
        run([part(0, 60), part(0, 0, "ETH/USD")], Scripted())


@pytest.mark.parametrize("timeframe", ["tick:100", "volume:5", "dollar:1000"])
def test_styles_agree_on_bars_of_events(timeframe) -> None:
    data = [event_bars(timeframe), event_bars(timeframe, "ETH/USD", 1)]
    vectors, events = run(data, cross()), run(data, as_events(cross()))
    same(vectors, events)
    assert len(vectors.books.fills)
    assert len(run(data, Scripted(bar=bracketeer)).books.fills)


@pytest.mark.parametrize("price", [1e-6, 1e6])
@pytest.mark.parametrize("target", [1.0, -1.0])
def test_a_ruined_account_has_a_result_with_figures_and_a_page(price, target, tmp_path) -> None:
    act = once(lambda ctx: ctx.target(BTC, target))
    left = run(jump(price), Scripted(bar=act), broker="ideal")
    assert np.isfinite(left.books.equity).all()
    for value in left.metrics().row().values():
        assert value is None or math.isfinite(value)
    left.report(tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size > 1_000


def test_a_ruined_account_opens_nothing_more() -> None:
    def act(ctx) -> None:
        if ctx.now_ns == START_NS + MINUTE_NS:
            ctx.target(BTC, -1.0)
        elif ctx.equity < 0.0:
            ctx.buy(BTC, notional=1_000.0)

    left = run(jump(1e6), Scripted(bar=act), broker="ideal")
    assert left.equity_values[-1] < 0.0
    assert left.books.fills["side"].tolist() == [-1, 1]  # sold short, and closed by the venue (B8)
    assert left.rejects == {"insufficient_balance": 29}


def at(minute: int) -> int:
    return START_NS + minute * MINUTE_NS


OPEN = InstrumentTerms(0)
HALT = InstrumentTerms(at(20), trading=Trading.HALTED)
GONE = InstrumentTerms(at(20), trading=Trading.DELISTED)
BACK = InstrumentTerms(at(30))
RENAMED = InstrumentTerms(at(20), trading=Trading.DELISTED, renamed_to="ETH/USD")


@pytest.mark.parametrize(
    ("dated", "reason"),
    [
        ((OPEN, HALT, BACK), "halted"),
        ((OPEN, HALT), "halted"),
        ((OPEN, GONE), "delisted"),
        ((OPEN, GONE, BACK), "delisted"),
        ((InstrumentTerms(0, trading=Trading.DELISTED),), "delisted"),
        ((OPEN, RENAMED), "unknown_symbol"),
    ],
)
@pytest.mark.parametrize("rung", [1, 2])
def test_styles_agree_when_an_instrument_changes_in_the_middle(dated, reason, rung) -> None:
    data = [part(0, 60), part(0, 60, "ETH/USD")]
    setting = {"instruments": InstrumentHistory().with_symbol(BTC, *dated), "rung": rung}
    vectors, events = run(data, cross(), **setting), run(data, as_events(cross()), **setting)
    same(vectors, events)
    assert vectors.rejects[reason]
    assert np.isfinite(run(data, Scripted(bar=bracketeer), **setting).books.equity).all()


def test_a_rename_to_the_same_symbol_is_refused() -> None:
    same_one = InstrumentTerms(at(20), trading=Trading.DELISTED, renamed_to=BTC)
    history = InstrumentHistory().with_symbol(BTC, OPEN, same_one)
    with pytest.raises(ConfigError, match=r"instruments of BTC/USD .*: expected another symbol"):
        run(part(0, 60), cross(), instruments=history)


def coded(name: str, style: str = "decide") -> CompiledStrategy:
    path = f"tests.backtest.checked_strategies:{name}"
    return CompiledStrategy("coded", {"size": 0.0}, memory=2, **{style: path})


@pytest.mark.parametrize(
    ("strategy", "bar"),
    [(coded("beyond"), 5), (coded("forgetful"), 0), (coded("bars_beyond", "on_bar"), 0)],
    ids=lambda given: getattr(given, "path", None),
)
def test_an_index_outside_fails_the_run_when_the_compiler_checks_it(strategy, bar) -> None:
    with pytest.raises(InvalidData, match=rf"strategy: coded in .* at bar {bar}, .*: IndexError"):
        run(flat(100.0, 20), strategy, broker=PLAIN)


@pytest.mark.parametrize("amount", [np.nan, np.inf, -np.inf, -1.0, 0.0, 1e300])
def test_numbers_that_make_no_sense_are_rejected_when_compiled_code_sends_them(amount) -> None:
    path = "tests.backtest.checked_strategies:nonsense"
    strategy = CompiledStrategy("nonsense", {"amount": amount}, on_bar=path)
    left = run(flat(100.0), strategy, broker=PLAIN)
    assert not len(left.books.fills)
    assert sum(left.rejects.values()) == 2
    assert np.isfinite(left.books.equity).all()
