"""History: pages of bars into the lake, once, through the same quality rules."""

from __future__ import annotations

import math

from tradelake.lake.reader import LakeReader
from tradelake.lake.writer import IcebergWriter
from tradelake.market.records import Bar
from tradelake.usecases.load_history import HistoryRequest, load_history

MINUTE = 60_000_000_000
START = 1_700_000_040_000_000_000


class Clock:
    def __init__(self, now_ns):
        self.now = now_ns

    def now_ns(self):
        self.now += 1
        return self.now


class Pages:
    """Serves minute bars of two symbols in pages of 10."""

    def __init__(self, *, bad=None):
        self.bad = bad

    def bars(self, symbols, timeframe, start_ns, end_ns):
        for symbol in sorted(symbols):
            page = []
            for ts in range(start_ns, end_ns, MINUTE):
                volume = math.nan if (symbol, ts) == self.bad else 1.0
                prices = (10.0, 11.0, 9.0, 10.5)
                page.append(
                    Bar(symbol, ts, ts, *prices, volume, 10.2, 3, timeframe, "alpaca", "history", 7)
                )
                if len(page) == 10:
                    yield page
                    page = []
            yield page


def request(minutes):
    return HistoryRequest(
        venue="us",
        symbols=("BTC/USD", "ETH/USD"),
        timeframe="1m",
        start_ns=START,
        end_ns=START + minutes * MINUTE,
    )


def load(catalog, pages, minutes=25, clock=1_000):
    seen = []
    loaded = load_history(
        request(minutes), pages, IcebergWriter(catalog), Clock(clock), seen.append
    )
    assert seen
    return loaded


def test_load_history_stores_every_bar_that_was_served(catalog):
    loaded = load(catalog, Pages())
    assert loaded.served == {"BTC/USD": 25, "ETH/USD": 25}
    assert (loaded.rows, loaded.duplicates, loaded.quarantined) == (50, 0, 0)
    assert len(LakeReader(catalog).bars("ETH/USD", "1m")) == 25


def test_load_history_adds_only_what_is_new_when_it_is_repeated(catalog):
    load(catalog, Pages())
    again = load(catalog, Pages(), minutes=30, clock=2_000)
    assert (again.rows, again.duplicates) == (10, 50)


def test_load_history_quarantines_a_bad_bar_and_keeps_its_neighbours(catalog):
    loaded = load(catalog, Pages(bad=("BTC/USD", START)))
    assert (loaded.rows, loaded.quarantined) == (49, 1)
    kept = LakeReader(catalog).sql("SELECT symbol, channel, rule FROM quarantine").to_pylist()
    assert [(row["symbol"], row["channel"]) for row in kept] == [("BTC/USD", "history")]
