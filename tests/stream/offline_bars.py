"""Bars in the plainest way: all the data at hand, grouped, sorted and summed as fractions.

Shares no code with the aggregator but the records. ``trades`` are distinct; for event bars they are
in the order of receipt.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction

from tradelake.market.records import Bar, Quote, Trade

SECONDS = {"1s": 1, "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14400, "1d": 86400}
NS = 10**9
UNIT = 10**18
DAY = 86_400 * NS


def offline_time_bars(
    trades: Iterable[Trade],
    quotes: Iterable[Quote],
    timeframes: Sequence[str],
    quotes_from: str | None = "1m",
) -> dict[tuple[str, str, int], Bar]:
    """Bars by (symbol, timeframe, open), as if everything had been heard."""
    traded, quoted = defaultdict(list), defaultdict(list)
    trades, quotes = list(trades), list(quotes)
    for name in timeframes:
        length = SECONDS[name] * NS
        for trade in trades:
            traded[trade.symbol, name, trade.ts_event // length * length].append(trade)
        if quotes_from is None or SECONDS[name] < SECONDS[quotes_from]:
            continue
        for quote in quotes:
            if quote.bid > 0 and quote.ask > 0:
                quoted[quote.symbol, name, quote.ts_event // length * length].append(quote)
    bars = {key: _empty_bar(key, members) for key, members in quoted.items()}
    return bars | {key: _bar(key, members) for key, members in traded.items()}


def _bar(key, trades) -> Bar:
    symbol, timeframe, open_ns = key
    ordered = sorted(trades, key=lambda trade: (trade.ts_event, trade.trade_id, trade.price))
    return _summed(symbol, timeframe, open_ns, ordered)


def _summed(symbol, timeframe, ts_event, ordered) -> Bar:
    prices = [trade.price for trade in ordered]
    volume = sum(_units(Fraction(repr(trade.size))) for trade in ordered)
    notional = sum(
        _units(Fraction(repr(trade.price)) * Fraction(repr(trade.size))) for trade in ordered
    )
    return Bar(
        symbol,
        ts_event,
        max(trade.ts_ingest for trade in ordered),
        prices[0],
        max(prices),
        min(prices),
        prices[-1],
        float(Fraction(volume, UNIT)),
        float(Fraction(notional, volume)) if volume else 0.0,
        len(ordered),
        timeframe,
        "tradelake",
        "aggregate",
        2 * len(ordered),
    )


def _units(value: Fraction) -> int:
    return round(value * UNIT)


def _empty_bar(key, quotes) -> Bar:
    symbol, timeframe, open_ns = key
    mids = sorted((q.ts_event, q.occurrence, (q.bid + q.ask) / 2) for q in quotes)
    prices = [mid for *_, mid in mids]
    seen_ns = max(quote.ts_ingest for quote in quotes)
    ohlc = (prices[0], max(prices), min(prices), prices[-1])
    rest = (0.0, 0.0, 0, timeframe, "tradelake", "aggregate", 0)
    return Bar(symbol, open_ns, seen_ns, *ohlc, *rest)


def offline_event_bars(trades: Iterable[Trade], timeframe: str) -> list[Bar]:
    """Event bars of one symbol that have ended, by the trades in the order of receipt."""
    measure, _, text = timeframe.partition(":")
    threshold = Fraction(text)
    bars, members, last_ns = [], [], None

    def end():
        bars.append(_summed(members[0].symbol, timeframe, last_ns, members))
        members.clear()

    weights = {
        "tick": lambda one: Fraction(1),
        "volume": lambda one: Fraction(_units(Fraction(repr(one.size))), UNIT),
        "dollar": lambda one: Fraction(
            _units(Fraction(repr(one.price)) * Fraction(repr(one.size))), UNIT
        ),
    }
    reached = Fraction()
    for trade in trades:
        time_ns = min(trade.ts_event, trade.ts_ingest)
        if members and time_ns // DAY > last_ns // DAY:
            end()
        if not members:
            last_ns = time_ns if last_ns is None else max(time_ns, last_ns + 1)
            reached = Fraction()
        members.append(trade)
        reached += weights[measure](trade)
        if reached >= threshold:
            end()
    return bars
