"""Bars and late trades, without a server."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradelake.exchange.admin import longest_stretch
from tradelake.exchange.player import Pace, frames, session_speeds
from tradelake.exchange.publication import Lateness, Message, publish
from tradelake.market.records import Bar, Quote, Trade

MINUTE = 60_000_000_000
SECOND = 1_000_000_000


@dataclass
class Listed:
    """A session that is a list."""

    listed: list

    @property
    def weight(self):
        return len(self.listed)

    @property
    def start_ns(self):
        return self.listed[0].ts_event

    @property
    def end_ns(self):
        return self.listed[-1].ts_event

    def ticks(self):
        return iter(self.listed)


def trade(second: float, price: float, size: float = 1.0) -> Trade:
    return Trade("BTC/USD", int(second * SECOND), 0, int(second * 1000), price, size, "buy")


def quote(second: float, mid: float) -> Quote:
    return Quote("BTC/USD", int(second * SECOND), 0, mid - 1, 1.0, mid + 1, 1.0)


def bars_of(ticks, lateness=None):
    published = list(publish(Listed(ticks), lateness or Lateness()))
    return [(m.at_ns // SECOND, m.record) for m in published if isinstance(m.record, Bar)]


def test_minute_bar_comes_at_the_minutes_end_with_sums_of_its_trades():
    (at, bar), (_, day) = bars_of([trade(1, 10, 2), trade(30, 14, 1), trade(59, 12, 1)])
    assert at == 60
    assert (bar.ts_event, bar.open, bar.high, bar.low, bar.close) == (0, 10, 14, 10, 12)
    assert (bar.volume, bar.trades, bar.vwap) == (4, 3, (20 + 14 + 12) / 4)
    assert (bar.channel, day.channel) == ("bars", "dailyBars")


def test_empty_minute_has_midpoint_prices_and_no_volume():
    bars = [bar for _, bar in bars_of([quote(1, 10), quote(70, 12), quote(90, 8), quote(200, 9)])]
    minutes = [bar for bar in bars if bar.channel == "bars"]
    assert [(b.open, b.high, b.low, b.close) for b in minutes] == [
        (10, 10, 10, 10),
        (10, 12, 8, 8),
        (8, 8, 8, 8),
        (8, 9, 8, 9),
    ]
    assert {(b.volume, b.trades, b.vwap) for b in minutes} == {(0, 0, 0)}


def test_minute_without_trades_has_no_bar_when_the_symbol_was_never_quoted():
    bars = [bar for _, bar in bars_of([trade(1, 10), trade(130, 11)]) if bar.channel == "bars"]
    assert [bar.ts_event // SECOND for bar in bars] == [0, 120]


def test_daily_bar_is_published_again_after_every_minute_and_starts_anew_at_midnight():
    midnight = 86_400
    ticks = [trade(midnight - 90, 5, 1), trade(midnight - 30, 9, 2), trade(midnight + 1, 7, 4)]
    days = [bar for _, bar in bars_of(ticks) if bar.channel == "dailyBars"]
    assert [(d.ts_event // SECOND, d.open, d.high, d.close, d.volume) for d in days] == [
        (0, 5, 5, 5, 1),
        (0, 5, 9, 9, 3),
        (midnight, 7, 7, 7, 4),
    ]


def test_late_trade_is_published_late_and_updates_its_minute_half_a_minute_after():
    lateness = Lateness(min_s=5, max_s=5, forced=1)
    ticks = [trade(58, 10, 1), quote(59, 20), trade(61, 30, 1), quote(125, 20)]
    published = list(publish(Listed(ticks), lateness))
    late = next(m for m in published if isinstance(m.record, Trade) and m.record.price == 10)
    assert late.at_ns == 63 * SECOND
    bars = bars_of(ticks, Lateness(min_s=5, max_s=5, forced=1))
    first = next(bar for _, bar in bars if bar.channel == "bars")
    (at, updated), *more = [(at, bar) for at, bar in bars if bar.channel == "updatedBars"]
    assert not more
    assert (first.volume, first.close, at) == (0, 20, 90)
    assert (updated.ts_event, updated.volume, updated.close, updated.vwap) == (0, 1, 10, 10)
    last_day = [bar for _, bar in bars if bar.channel == "dailyBars"][-1]
    assert (last_day.volume, last_day.trades) == (2, 2)


@given(
    st.lists(
        st.tuples(st.floats(0, 300), st.integers(1, 9), st.booleans()), min_size=1, max_size=60
    ),
    st.floats(0, 1),
)
def test_publication_loses_nothing_keeps_its_order_and_accounts_for_all_volume(drawn, fraction):
    ticks = sorted(
        (trade(s, p) if is_trade else quote(s, 10 * p) for s, p, is_trade in drawn),
        key=lambda tick: tick.ts_event,
    )
    published = list(publish(Listed(ticks), Lateness(fraction=fraction, min_s=1, max_s=25)))
    assert [m.at_ns for m in published] == sorted(m.at_ns for m in published)
    records = [m.record for m in published]
    assert sorted(map(repr, ticks)) == sorted(repr(r) for r in records if not isinstance(r, Bar))
    final = {}
    for record in records:
        if isinstance(record, Bar) and record.timeframe == "1m":
            final[record.ts_event] = record
    trades = sum(isinstance(tick, Trade) for tick in ticks)
    on_time = fraction == 0
    total = sum(bar.trades for bar in final.values())
    assert total == trades if on_time else total <= trades


@pytest.mark.parametrize(
    ("window", "most", "sizes"), [(0, 9, [1, 2, 1]), (9, 9, [4]), (9, 3, [3, 1])]
)
def test_frames_hold_a_window_of_time_and_no_more_than_so_many(window, most, sizes):
    messages = [Message(at, ("trades", "A/USD"), trade(1, 1)) for at in (1, 3, 3, 5)]
    groups = list(frames(iter(messages), window, most))
    assert [len(group) for group in groups] == sizes
    assert [m for group in groups for m in group] == messages


def test_duration_is_shared_out_over_sessions_by_their_ticks():
    sessions = [Listed([trade(s, 1) for s in range(0, 100, 10)]), Listed([trade(0, 1)] * 30)]
    speeds = session_speeds(sessions, Pace(None, 4.0, 4.0, 100))
    assert speeds == [90 / 1.0, 1 / 3.0]
    assert session_speeds(sessions, Pace(2.0, None, 4.0, 100)) == [2.0, 2.0]
    assert session_speeds(sessions, Pace(None, None, 4.0, 100)) == [None, None]


def test_longest_stretch_of_bars_has_no_gap_of_a_day():
    day = 86_400 * SECOND
    opens = np.array([0, 1, 2 * day, 2 * day + MINUTE, 3 * day, 9 * day], dtype=np.int64)
    assert longest_stretch(opens) == {"first_ns": 2 * day, "last_ns": 3 * day, "bars": 3}
