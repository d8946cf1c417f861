"""The synthetic market: deterministic, never crossed, with the stylised facts."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradelake.errors import ConfigError
from tradelake.exchange.options import SyntheticOptions
from tradelake.exchange.synthetic.book import Side
from tradelake.exchange.synthetic.market import SyntheticMarket
from tradelake.exchange.synthetic.paths import ar1
from tradelake.exchange.synthetic.universe import UNIVERSE
from tradelake.exchange.tape import StandingBook
from tradelake.market.records import BookUpdate, Quote, Trade

SMALL = SyntheticOptions(seed=11, symbols=5, hours=0.5, history_days=60, activity=3)


@pytest.fixture(scope="module")
def market():
    return SyntheticMarket(SMALL)


@pytest.fixture(scope="module")
def ticks(market):
    return list(market.sessions[0].ticks())


def test_market_is_the_same_when_the_seed_is(ticks):
    assert list(SyntheticMarket(SMALL).sessions[0].ticks()) == ticks
    other = SyntheticMarket(replace(SMALL, seed=12))
    assert list(other.sessions[0].ticks()) != ticks


def test_history_is_the_same_when_the_seed_is_whichever_symbols_were_asked_before(market):
    first, second = SyntheticMarket(SMALL), SyntheticMarket(SMALL)
    second.history.minutes("ETH/USD")
    one, two = first.history.minutes("SOL/USD"), second.history.minutes("SOL/USD")
    assert np.array_equal(one.close, two.close)
    assert np.array_equal(one.volume, two.volume)


def test_ticks_come_in_time_within_the_session(market, ticks):
    session = market.sessions[0]
    times = [tick.ts_event for tick in ticks]
    assert times == sorted(times)
    assert session.start_ns == times[0]
    assert times[-1] < session.end_ns


def test_books_agree_with_the_quotes_and_are_never_crossed(ticks):
    books = {}
    checked = 0
    for tick in ticks:
        if isinstance(tick, BookUpdate):
            book = books.setdefault(tick.symbol, StandingBook(tick.symbol))
            book.apply(tick)
        elif isinstance(tick, Quote):
            whole = books[tick.symbol].snapshot()
            assert whole.bids[0] == (tick.bid, tick.bid_size)
            assert whole.asks[0] == (tick.ask, tick.ask_size)
            assert 0 < tick.bid < tick.ask
            assert len(whole.bids) == len(whole.asks) == SMALL.depth
            checked += 1
    assert checked > 1000


def test_books_are_reset_in_mid_session(ticks):
    resets = [t for t in ticks if isinstance(t, BookUpdate) and t.reset and t.symbol == "BTC/USD"]
    assert len(resets) == 3


def test_trades_are_at_the_standing_bid_or_ask_with_ids_of_their_own(ticks):
    quotes, trades = {}, []
    for tick in ticks:
        if isinstance(tick, Quote):
            quotes[tick.symbol] = tick
        elif isinstance(tick, Trade):
            quote = quotes[tick.symbol]
            assert tick.price == (quote.ask if tick.taker_side == "buy" else quote.bid)
            trades.append(tick)
    assert len({trade.trade_id for trade in trades}) == len(trades) > 100
    assert max(trade.trade_id for trade in trades) > 2**53


def test_trade_prices_bounce_between_bid_and_ask(ticks):
    prices = [t.price for t in ticks if isinstance(t, Trade) and t.symbol == "BTC/USD"]
    returns = np.diff(np.log(prices))
    assert np.corrcoef(returns[1:], returns[:-1])[0, 1] < -0.1


def _returns(market, symbol):
    return np.diff(np.log(market.history.minutes(symbol).close))


def test_returns_have_fat_tails(market):
    for symbol in market.symbols:
        returns = _returns(market, symbol)
        centred = returns - returns.mean()
        assert (centred**4).mean() / (centred**2).mean() ** 2 > 4


def test_volatility_clusters(market):
    size = np.abs(_returns(market, "ETH/USD"))
    for lag in (1, 10, 30):
        assert np.corrcoef(size[lag:], size[:-lag])[0, 1] > 0.03


def test_symbols_are_correlated(market):
    for one, two in itertools.combinations(market.symbols, 2):
        assert np.corrcoef(_returns(market, one), _returns(market, two))[0, 1] > 0.3


def test_live_midpoints_are_correlated_too(ticks):
    last = defaultdict(dict)
    for tick in ticks:
        if isinstance(tick, Quote):
            last[tick.symbol][tick.ts_event // 60_000_000_000] = np.log(tick.bid + tick.ask)
    one, two = (
        np.diff([last[s][minute] for minute in sorted(last["BTC/USD"])])
        for s in ("BTC/USD", "ETH/USD")
    )
    assert np.corrcoef(one, two)[0, 1] > 0.3


def test_small_symbols_trade_thinly_and_empty_minutes_have_no_vwap():
    market = SyntheticMarket(SyntheticOptions(symbols=20, history_days=10))
    big = market.history.minutes("BTC/USD")
    small = market.history.minutes(UNIVERSE[19])
    assert (big.trades == 0).mean() < 0.2 < 0.7 < (small.trades == 0).mean()
    empty = small.trades == 0
    assert not small.volume[empty].any()
    assert not small.vwap[empty].any()
    for bars in (big, small):
        assert np.all(bars.low <= np.minimum(bars.open, bars.close))
        assert np.all(bars.high >= np.maximum(bars.open, bars.close))
        assert np.all(bars.low > 0)
        traded = bars.trades > 0
        assert np.all((bars.vwap >= bars.low) & (bars.vwap <= bars.high) | ~traded)


def test_every_known_pair_can_be_played():
    market = SyntheticMarket(SyntheticOptions(symbols=len(UNIVERSE), hours=0.02, history_days=0))
    quoted = {tick.symbol for tick in market.sessions[0].ticks()}
    assert len(UNIVERSE) >= 120
    assert quoted == set(UNIVERSE)


@pytest.mark.parametrize("chosen", [0, 10_000, (), ("BTCUSD",), ("BTC/USD", "BTC/USD")])
def test_market_is_refused_when_its_symbols_are_impossible(chosen):
    with pytest.raises(ConfigError, match="synthetic market"):
        SyntheticMarket(SyntheticOptions(symbols=chosen))


@pytest.mark.parametrize(
    "wrong", [{"hours": 0}, {"activity": -1}, {"depth": 0}, {"history_days": -1}]
)
def test_options_are_refused_when_out_of_range(wrong):
    with pytest.raises(ConfigError):
        SyntheticOptions(**wrong)


def test_start_is_refused_when_it_is_no_timestamp():
    with pytest.raises(ConfigError, match="start"):
        SyntheticMarket(SyntheticOptions(start="now"))


@given(
    st.lists(st.tuples(st.integers(100, 140), st.integers(1, 9)), min_size=1, max_size=30),
    st.sampled_from([-1, 1]),
    st.integers(1, 6),
)
def test_changes_of_a_side_rebuild_it(moves, sign, depth):
    side, copy = Side(sign, depth), {}
    for best, gap in moves:
        copy.update(side.move(best, float(gap), gap))
        copy = {tick: size for tick, size in copy.items() if size}
        assert sorted(copy.items(), key=lambda level: level[0] * sign) == side.levels()
        assert side.levels()[0] == (best, float(gap))
        assert len(copy) == depth


@given(st.integers(1, 700), st.floats(0.5, 0.999), st.integers(0, 99))
def test_blocked_autoregression_equals_the_loop(count, persistence, seed):
    shocks = np.random.default_rng(seed).normal(size=(count, 2))
    last = start = np.array([1.0, -2.0])
    expected = []
    for shock in shocks:
        last = persistence * last + shock
        expected.append(last)
    np.testing.assert_allclose(ar1(shocks, persistence, start), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("start", ["noon", "2025-06-02T00:00:30Z"])
def test_market_refuses_a_start_that_is_no_whole_minute(start: str) -> None:
    with pytest.raises(ConfigError, match="start"):
        SyntheticMarket(SyntheticOptions(start=start))
