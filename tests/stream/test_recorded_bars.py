"""Bars built from recorded tapes equal the bars that the venue's own series has."""

import math
import os
import random
from pathlib import Path

import msgspec
import pytest

from tests.stream.offline_bars import offline_event_bars, offline_time_bars
from tradelake.market.records import Quote, Trade
from tradelake.market.timeframes import TIMEFRAMES
from tradelake.stream.aggregation import Aggregator, Rules
from tradelake.stream.aggregation_state import decode_state, encode_state
from tradelake.stream.envelope import FINAL_WATERMARK, Batch

pytestmark = pytest.mark.data

MINUTE = 60_000_000_000
TAPE = "trades_binance_spot_btcusdt_ethusdt_2024-08-08_2354_2359.parquet"
SERIES = {
    "BTC/USDT": "bars_1m_binance_btcusdt_2022-01-01_2024-08-08.parquet",
    "ETH/USDT": "bars_1m_binance_ethusdt_2023-01-01_2024-08-08.parquet",
}
RULES = Rules(("1s", "1m", "5m"), 2_000_000_000)


def rows(name, **options):
    parquet = pytest.importorskip("pyarrow.parquet")
    folder = os.environ.get("TRADELAKE_DATA", "")
    path = Path(folder) / name
    if not folder or not path.exists():
        pytest.skip(f"recorded data {name} is not in TRADELAKE_DATA")
    return parquet.read_table(path, **options).to_pylist()


def tape():
    trades = [
        Trade(
            row["symbol"],
            row["ts_ns"],
            row["ts_ns"],
            int(row["trade_id"]),
            row["price"],
            row["size"],
        )
        for row in rows(TAPE)
    ]
    return sorted(trades, key=lambda trade: (trade.ts_event, trade.trade_id))


def batches(trades, seed):
    """Micro-batches of random length, shuffled within and with some trades sent twice."""
    chance, start, seq, cut = random.Random(seed), 0, 0, []
    while start < len(trades):
        end = start + chance.randint(1, 400)
        part = trades[start:end]
        watermark = part[0].ts_event
        part = part + chance.sample(part, len(part) // 20)
        chance.shuffle(part)
        cut.append(Batch("live", "binance", 1, 0, seq, watermark, part))
        start, seq = end, seq + 1
    return [*cut, Batch("live", "binance", 1, 0, seq, FINAL_WATERMARK, [])]


def build(cut, save_every):
    aggregator, made = Aggregator(RULES), []
    for index, batch in enumerate(cut):
        made += aggregator.apply(batch)
        if index % save_every == 0:
            aggregator = decode_state(encode_state(aggregator), RULES)
    return made


def test_minute_bars_rebuilt_from_the_tape_equal_the_recorded_ones():
    made = {(b.symbol, b.ts_event): b for b in build(batches(tape(), 1), 3) if b.timeframe == "1m"}
    compared = 0
    for symbol, name in SERIES.items():
        first = min(at for found, at in made if found == symbol) + MINUTE
        for row in rows(name, filters=[("ts_ns", ">=", first)]):
            bar = made[symbol, row["ts_ns"]]
            assert (bar.open, bar.high, bar.low, bar.close) == tuple(
                row[field] for field in ("open", "high", "low", "close")
            )
            assert math.isclose(bar.volume, row["volume"], rel_tol=0, abs_tol=1e-9)
            compared += 1
    assert compared == 10


def test_recorded_trades_give_identical_bars_however_they_are_cut():
    trades = tape()
    straight, other = build(batches(trades, 2), 10**9), build(batches(trades, 3), 7)

    def order(bar):
        return (bar.timeframe, bar.symbol, bar.ts_event, bar.revision)

    assert sorted(straight, key=order) == sorted(other, key=order)


QUOTES = "quotes_binance_spot_btcusdt_ethusdt_2024-08-08_2354_2359.parquet"
EVERYTHING = Rules((*TIMEFRAMES, "tick:100", "volume:1", "dollar:100000"), 2_000_000_000)


def recorded_quotes():
    return [
        Quote(
            row["symbol"],
            row["ts_ns"],
            row["ts_ns"],
            row["bid"],
            row["bid_size"],
            row["ask"],
            row["ask_size"],
            index,
        )
        for index, row in enumerate(rows(QUOTES))
    ]


@pytest.mark.parametrize("keep", [1, 4000], ids=["every trade", "one trade in 4000"])
def test_recorded_trades_and_quotes_give_the_bars_that_are_computed_offline(keep):
    records = sorted([*tape()[::keep], *recorded_quotes()[::10]], key=lambda one: one.ts_event)
    aggregator, made = Aggregator(EVERYTHING), []
    aggregator.apply(Batch("live", "binance", 1, 0, 0, 0, []))
    for seq, start in enumerate(range(0, len(records), 333), 1):
        part = records[start : start + 333]
        made += aggregator.apply(Batch("live", "binance", 1, 0, seq, part[0].ts_event, part))
        aggregator = decode_state(encode_state(aggregator), EVERYTHING)
    made += aggregator.apply(Batch("live", "binance", 1, 0, seq + 1, FINAL_WATERMARK, []))
    trades = [one for one in records if isinstance(one, Trade)]
    quotes = [one for one in records if isinstance(one, Quote)]
    found = {
        (bar.symbol, bar.timeframe, bar.ts_event): msgspec.structs.replace(bar, status="complete")
        for bar in made
        if bar.timeframe in TIMEFRAMES
    }
    offline = offline_time_bars(trades, quotes, tuple(TIMEFRAMES))
    assert found == offline
    assert keep == 1 or any(not bar.trades for bar in found.values())
    for symbol in SERIES:
        for timeframe in ("tick:100", "volume:1", "dollar:100000"):
            events = [bar for bar in made if (bar.symbol, bar.timeframe) == (symbol, timeframe)]
            of_symbol = [one for one in trades if one.symbol == symbol]
            assert events == offline_event_bars(of_symbol, timeframe)
            assert events or keep > 1
