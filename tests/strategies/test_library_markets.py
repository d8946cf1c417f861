"""Each strategy of the library on a market made by hand, where the right trades are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies.markets import HOUR_NS, bars_of, walk
from tests.strategies.venue import Venue
from tradelake.errors import ConfigError, InvalidData
from tradelake.execution.layout import Side
from tradelake.features.indicators import macd_histogram, rsi
from tradelake.features.registry import BASIC_V1
from tradelake.market.arrays import BarArrays, FloatArray
from tradelake.strategies.event import Fill
from tradelake.strategies.library import build, make
from tradelake.strategies.library.cross_section import _spread
from tradelake.strategies.named import column_of
from tradelake.strategies.panel import Panel

BUY, SELL = int(Side.BUY), int(Side.SELL)


def oracle() -> BarArrays:
    """The closes that TA-Lib 0.8.2 was run on."""
    i = np.arange(200)
    return bars_of(100 + 10 * np.sin(0.1 * i) + 0.05 * i + ((37 * i) % 11) / 10)


def test_rsi_and_macd_are_those_of_talib() -> None:
    bars = oracle()
    assert 100 * column_of(bars, rsi(14))[199] == pytest.approx(88.987159111, abs=1e-9)
    histogram = column_of(bars, macd_histogram(12, 26, 9))[199] * bars.close[199]
    assert histogram == pytest.approx(0.917425479, abs=1e-9)


def test_rsi_buys_the_fall_and_leaves_the_rise() -> None:
    close = [10, 10, 10, 10, 10, 9, 8, 7, 8, 9, 10, 11, 12]
    targets = make("rsi", {"period": 3, "low": 20.0, "high": 80.0}).signals(bars_of(close))
    # Wilder, by hand: the average gain is 0 until the first rise. Then gain and loss are 1/3 and
    # 38/81, 5/9 and 76/243, and so on: 27/65 = 41.5, 135/211 = 64.0, 77.1, 85.2.
    index = 100 * column_of(bars_of(close), rsi(3))
    assert index[5:10] == pytest.approx([0, 0, 0, 100 * 27 / 65, 100 * 135 / 211], abs=1e-9)
    assert targets.tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0]


def test_rsi_stays_flat_when_prices_do_not_move() -> None:
    assert not make("rsi", {}).signals(bars_of(np.full(60, 3.3))).any()


def test_macd_enters_when_a_fall_turns_into_a_rise_and_leaves_when_that_turns() -> None:
    steps = np.concatenate((np.full(20, -1.0), np.full(20, 2.0), np.full(20, -2.0)))
    close = 2000 + np.cumsum(steps * (1 + np.arange(60) % 20))  # each leg faster and faster
    targets = make("macd", {"fast": 3, "slow": 6, "signal": 3}).signals(bars_of(close))
    entered, left = np.flatnonzero(np.diff(targets)) + 1
    assert 20 <= entered <= 24
    assert 40 <= left <= 44
    assert targets[entered] == 1.0
    assert targets[left] == 0.0


def test_macd_stays_flat_when_prices_do_not_move() -> None:
    assert not make("macd", {}).signals(bars_of(np.full(90, 3.3))).any()


def test_ts_momentum_has_the_sign_of_the_return_and_the_size_of_calm() -> None:
    close = [10, 10, 11, 12, 13, 12, 9, 8, 7, 7]
    simple = {"lookback": 2, "every": 1, "below": -1.0}
    targets = make("ts_momentum", simple).signals(bars_of(close))
    assert targets.tolist() == [0, 0, 1, 1, 1, 0, -1, -1, -1, -1]
    held = make("ts_momentum", {**simple, "every": 4}).signals(bars_of(close))
    assert held.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, -1, -1]
    # Log returns of +0.03 and -0.01 in turn deviate by 0.02: half a position for 0.01.
    moves = np.where(np.arange(20) % 2, -0.01, 0.03)
    sized = {"lookback": 2, "every": 1, "volatility": 0.01, "volatility_window": 4}
    targets = make("ts_momentum", sized).signals(bars_of(100 * np.exp(np.cumsum(moves))))
    np.testing.assert_allclose(targets[4:], 0.5)
    assert not targets[:4].any()


def three(a: list[float], b: list[float], c: list[float]) -> Panel:
    return Panel.of([bars_of(a, "A/USD"), bars_of(b, "B/USD"), bars_of(c, "C/USD")])


def test_xs_momentum_holds_the_best_that_rose() -> None:
    panel = three([10, 11, 12, 9, 9], [10, 10.5, 13, 14, 10], [10, 9, 8, 7, 8])
    top = {"lookback": 1, "every": 1, "top": 2}
    targets = build("xs_momentum", top).signals_of(panel)
    half = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0.5, 0], [0, 0, 0.5]]
    assert targets.tolist() == half
    any_ = build("xs_momentum", {**top, "rising": False}).signals_of(panel)
    assert any_[3].tolist() == [0, 0.5, 0.5]
    pairs = build("xs_momentum", {**top, "short": True}).signals_of(panel)
    rows = [[0, 0, 0], [0.5, 0, -0.5], [0, 0.5, -0.5], [-0.5, 0.5, 0], [0, -0.5, 0.5]]
    assert pairs.tolist() == rows


def test_xs_momentum_ranks_those_that_have_a_history_alone() -> None:
    young = bars_of([5.0, 9.0], "B/USD")
    young = BarArrays(
        "B/USD", "1h", young.ts_event_ns + 2 * HOUR_NS, *(young.close,) * 4, young.volume
    )
    panel = Panel.of([bars_of([10, 11, 12, 13], "A/USD"), young])
    targets = build("xs_momentum", {"lookback": 1, "every": 1, "top": 1}).signals_of(panel)
    assert targets.tolist() == [[0, 0], [1, 0], [1, 0], [0, 1]]


def pair_market() -> tuple[BarArrays, BarArrays]:
    """The second symbol wanders; the first is its square root, but for a dip at bars 30 to 32."""
    rng = np.random.default_rng(3)
    logs = np.cumsum(rng.normal(0, 0.02, 60))
    noise = 1e-3 * np.where(np.arange(60) % 2, 1.0, -1.0)
    dip = np.zeros(60)
    dip[30:33] = -0.02
    return bars_of(np.exp(0.5 * logs + noise + dip), "A/USD"), bars_of(np.exp(logs), "B/USD")


def test_pairs_hedges_by_least_squares() -> None:
    left, right = pair_market()
    slope, score = _spread(np.log(left.close), np.log(right.close), 20)
    for row in (19, 25, 40, 59):
        x, y = np.log(right.close[row - 19 : row + 1]), np.log(left.close[row - 19 : row + 1])
        b, a = np.polyfit(x, y, 1)
        residuals = y - a - b * x
        assert slope[row] == pytest.approx(b, rel=1e-9)
        assert score[row] == pytest.approx(residuals[-1] / residuals.std(), rel=1e-6)
    assert np.isnan(slope[:19]).all()


def test_pairs_buys_the_dip_of_the_first_against_the_second_until_it_is_over() -> None:
    panel = Panel.of(pair_market())
    told = {"window": 20, "entry": 3.0, "exit": 0.5, "short": True}
    targets = build("pairs", told).signals_of(panel)
    held = np.flatnonzero(targets[:, 0])
    assert held[0] == 30
    assert held[-1] <= 33
    first, second = targets[30]
    assert first > 0.0 > second
    assert second / first == pytest.approx(-0.5, rel=0.1)
    assert first - second == pytest.approx(1.0)
    assert (targets[held] == targets[30]).all(), "the hedge of the entry stays"
    alone = build("pairs", {**told, "short": False}).signals_of(panel)
    np.testing.assert_array_equal(alone, np.maximum(targets, 0.0))


def test_pairs_is_refused_when_there_are_three_symbols() -> None:
    panel = three([1, 2], [1, 2], [1, 2])
    with pytest.raises(ConfigError, match="two symbols"):
        build("pairs", {}).signals_of(panel)


def test_pairs_stays_flat_when_prices_do_not_move() -> None:
    panel = Panel.of([bars_of(np.full(300, 2.0), "A/USD"), bars_of(np.full(300, 3.0), "B/USD")])
    assert not build("pairs", {"window": 20}).signals_of(panel).any()


def narrow(close: list[float]) -> BarArrays:
    """Bars without a range of their own: each goes from the last close to its own."""
    end = np.array(close, dtype=float)
    start = np.concatenate((end[:1], end[:-1]))
    high, low = np.maximum(start, end), np.minimum(start, end)
    return BarArrays("BTC/USD", "1h", np.arange(end.size) * HOUR_NS, start, high, low, end, end)


GRID = {"levels": 3, "spacing": 0.1, "fraction": 1.0, "tick": 0.0, "follow": False}


def test_grid_buys_each_level_below_and_sells_it_one_level_higher() -> None:
    venue = Venue([narrow([100, 85, 78, 95, 101, 85, 101])])
    venue.play(build("grid", GRID))
    quantity = [1000.0 * 0.99 / 3 / price for price in (90.0, 80.0)]
    sides = [(side, round(price, 9)) for side, _, price in venue.trades]
    assert sides == [(BUY, 90), (BUY, 80), (SELL, 90), (SELL, 100), (BUY, 90), (SELL, 100)]
    assert venue.trades[0][1] == pytest.approx(quantity[0])
    assert venue.trades[2][1] == pytest.approx(quantity[1])
    assert venue.held["BTC/USD"] == 0.0
    assert venue.money > 1000.0


def test_grid_follows_the_market_up_while_it_is_flat() -> None:
    venue = Venue([narrow([100, 150, 130])])
    grid = build("grid", {**GRID, "follow": True})
    venue.play(grid)
    assert [(side, round(price, 9)) for side, _, price in venue.trades] == [(BUY, 135)]
    venue = Venue([narrow([100, 150, 130])])
    venue.play(build("grid", GRID))
    assert venue.trades == []


def test_grid_rounds_to_ticks_away_from_the_market() -> None:
    venue = Venue([narrow([99.9, 99.9])])
    venue.play(build("grid", {**GRID, "tick": 0.5}))
    requests = [order.request for order in venue.orders if order.parent < 0]
    exits = [order.request.limit for order in venue.orders if order.parent >= 0]
    assert [one.limit for one in requests] == [89.5, 79.5, 69.5]
    assert exits == [100.0, 90.0, 80.0]


def test_grid_is_refused_when_its_last_level_has_no_price() -> None:
    with pytest.raises(ConfigError, match="levels \\* spacing below 1"):
        build("grid", {"levels": 10, "spacing": 0.1})


MAKER = {"half_spread_bps": 100.0, "size": 100.0, "most": 200.0, "tick": 0.01, "refresh_ms": 1000}


class Books:
    """Tells a maker of books and lets limits fill when the test says so."""

    def __init__(self, **told: float) -> None:
        self.venue = Venue([bars_of([100.0])])
        self.maker = build("book_maker", {**MAKER, **told})

    def tell(self, second: float, bid: float, ask: float, sizes=(1.0, 1.0)) -> None:
        ctx = self.venue.context
        ctx.now_ns, ctx.bid, ctx.ask = int(second * 1e9), bid, ask
        ctx.bid_size, ctx.ask_size = sizes
        self.maker.on_book(ctx)

    def quotes(self) -> list[tuple[int, float, float]]:
        return [
            (one.side, round(one.limit, 9), round(one.quantity, 6)) for one in self.venue.working()
        ]


def test_book_maker_bids_around_the_middle_and_offers_what_it_holds() -> None:
    books = Books()
    books.tell(0, 99.5, 100.5)
    assert books.quotes() == [(BUY, 99.0, 1.0)]
    books.venue.trade(0, books.maker)
    books.tell(0.001, 99.5, 100.5)  # a fill is answered at once
    # 1 BTC at 100 is half of the most: the middle of the quotes is half a half spread lower.
    assert books.quotes() == [(BUY, 98.5, 1.005025), (SELL, 100.5, 1.0)]
    (_, offer) = books.venue.working()
    books.venue.trade(offer.order, books.maker)
    books.tell(0.002, 99.5, 100.5)
    assert books.quotes() == [(BUY, 99.0, 1.0)]
    assert [side for side, _, _ in books.venue.trades] == [BUY, SELL]
    assert books.venue.money == pytest.approx(1000.0 + 100.5 - 99.0)


def test_book_maker_leans_to_the_side_with_less() -> None:
    books = Books()
    books.tell(0, 99.0, 101.0, sizes=(3.0, 1.0))
    assert books.quotes()[0][1] == pytest.approx(math.floor(100.5 * 0.99 * 100) / 100)


def test_book_maker_moves_a_quote_no_sooner_than_it_may_and_only_by_a_tick() -> None:
    books = Books()
    books.tell(0, 99.5, 100.5)
    books.tell(0.5, 98.5, 99.5)
    assert books.quotes()[0][1] == 99.0
    books.tell(1.0, 98.5, 99.5)
    assert books.quotes()[0][1] == 98.01
    count = len(books.venue.orders)
    books.tell(2.0, 98.501, 99.501)
    assert len(books.venue.orders) == count


def test_book_maker_stops_buying_when_it_holds_the_most() -> None:
    books = Books()
    books.tell(0, 99.5, 100.5)
    books.venue.held["BTC/USD"] = books.venue.context.held = 2.0
    books.tell(1, 99.5, 100.5)
    assert [side for side, _, _ in books.quotes()] == [SELL]


def test_book_maker_waits_when_the_book_is_crossed_or_not_there() -> None:
    books = Books()
    books.tell(0, 100.5, 100.0)
    books.tell(1, math.nan, math.nan)
    assert books.quotes() == []


def test_book_maker_never_crosses_the_other_side() -> None:
    books = Books(half_spread_bps=0.0)
    books.tell(0, 99.99, 100.0)
    assert books.quotes()[0][1] <= 99.99


class Expecting:
    """Expects what it was told to, in order of the bars that have features."""

    feature_set = "basic-v1"
    train_end_ns = 5

    def __init__(self, expected: list[float]) -> None:
        self.expected = np.array(expected)

    def predict(self, features: FloatArray) -> FloatArray:
        return np.resize(self.expected, len(features))


def rising() -> BarArrays:
    return bars_of(100 * np.exp(np.linspace(0, 1, BASIC_V1.warmup + 6)))


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, [0, 1, 1, 0, 0, 1]),
        ({"short": True}, [0, 1, 1, -1, -1, 1]),
        ({"scaling": True, "steps": 2, "full_bps": 100.0}, [0, 1, 0.5, 0, 0, 1]),
    ],
)
def test_ml_regressor_holds_what_is_expected_to_pay(told, expected: list[float]) -> None:
    model = Expecting([0.001, 0.0060001, 0.002, -0.007, -0.001, 0.01])
    strategy = make("ml_regressor", {"enter_bps": 60.0, **told}, model)
    targets = strategy.signals(rising())
    assert targets[BASIC_V1.warmup :].tolist() == expected
    assert not targets[: BASIC_V1.warmup].any()
    assert strategy.train_end_ns == 5


def test_ml_regressor_refuses_answers_that_are_no_numbers() -> None:
    with pytest.raises(InvalidData, match="prediction"):
        make("ml_regressor", {}, Expecting([math.nan])).signals(rising())


def test_ml_strategy_is_refused_when_the_model_is_of_the_other_kind() -> None:
    with pytest.raises(ConfigError, match="expected a Predictor; found Expecting"):
        make("ml_classifier", {}, Expecting([0.0]))
    with pytest.raises(ConfigError, match="exit_bps"):
        make("ml_regressor", {"enter_bps": 1.0, "exit_bps": 2.0}, Expecting([0.0]))


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), cut=st.integers(1, 100))
def test_grid_sends_the_same_orders_when_the_future_is_cut_off(seed: int, cut: int) -> None:
    bars = walk(seed, 100)
    whole, part = Venue([bars]), Venue([bars.take(0, cut)])
    for venue in (whole, part):
        venue.play(build("grid", {"levels": 4, "spacing": 0.02, "tick": 0.0}))
    assert len(part.sent) >= 4
    known = [repr(one) for one in whole.sent if one[0] <= bars.close_ns[cut - 1]]
    assert [repr(one) for one in part.sent] == known


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), cut=st.integers(1, 60))
def test_book_maker_sends_the_same_orders_when_the_future_is_cut_off(seed: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    middle = 100 + np.cumsum(rng.normal(0, 0.5, 60))
    whole, part = Books(), Books()
    for books, size in ((whole, 60), (part, cut)):
        for second in range(size):
            books.tell(second, middle[second] - 0.3, middle[second] + 0.2)
            if second % 7 == 3:
                books.venue.trade(books.venue.working()[0].order, books.maker)
    assert part.venue.sent
    known = [repr(one) for one in whole.venue.sent if one[0] < cut * 1e9]
    assert [repr(one) for one in part.venue.sent] == known


def test_buy_and_hold_holds_its_fraction() -> None:
    assert make("buy_and_hold", {"fraction": 0.5}).signals(bars_of([1, 2])).tolist() == [0.5, 0.5]


def test_fill_of_another_strategy_is_none_of_the_grids_business() -> None:
    venue = Venue([narrow([100, 100])])
    grid = build("grid", GRID)
    venue.play(grid)
    before = len(venue.orders)
    grid.on_fill(venue.context, Fill(99, "BTC/USD", SELL, 1.0, 1.0, 1.0, 0.0, 0.0, True, 0))
    assert len(venue.orders) == before
