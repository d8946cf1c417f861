"""The stateless rules one by one: small pure generators of findings about one record.

They run only for a record that :func:`tradelake.stream.quality.findings` did not recognise as
clean, so they are written to explain, not to be quick. What the rules are called and mean is listed
in :mod:`tradelake.stream.quality_rules`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from math import isfinite
from typing import Final

import msgspec

from tradelake.errors import InvalidData
from tradelake.market.records import (
    Bar,
    BookSnapshot,
    BookUpdate,
    Instrument,
    Level,
    Quote,
    Record,
    Trade,
)
from tradelake.market.symbols import parse_symbol
from tradelake.market.timeframes import SECOND_NS, TIMEFRAMES
from tradelake.stream.thresholds import Thresholds

EARLIEST_NS: Final = 1_230_768_000 * SECOND_NS
"""2009-01-01: there was no crypto market before."""
LATEST_NS: Final = 4_102_444_800 * SECOND_NS
"""2100-01-01: a time after it is a unit mistake."""
INT64: Final = 2**63
_SHOWN: Final = 240
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class Reject(msgspec.Struct, frozen=True, tag=True):
    """The record breaks ``rule``; ``reason`` says what was expected, found, and in which record."""

    rule: str
    reason: str


class Flag(msgspec.Struct, frozen=True, tag=True):
    """The record is odd by ``rule`` but usable; it is kept, and carries the rule's name."""

    rule: str
    reason: str


Finding = Reject | Flag
Timed = Trade | Quote | BookUpdate | Bar | BookSnapshot | Instrument
Check = Callable[..., Iterator[Finding]]


@lru_cache(maxsize=4096)
def is_pair(symbol: str) -> bool:
    """Whether a symbol is spelt ``BASE/QUOTE``."""
    try:
        parse_symbol(symbol)
    except InvalidData:
        return False
    return True


def run(checks: tuple[Check, ...], record: Record, thresholds: Thresholds) -> list[Finding]:
    """Return the findings of several checks, in their order."""
    return [finding for check in checks for finding in check(record, thresholds)]


def _shown(record: Record) -> str:
    text = _CONTROL.sub("?", repr(record))
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _reject(rule: str, expected: str, found: object, record: Record) -> Reject:
    return Reject(rule, f"expected {expected}; found {found!r} in {_shown(record)}")


def _flag(rule: str, expected: str, found: object, record: Record) -> Flag:
    return Flag(rule, f"expected {expected}; found {found!r} in a {type(record).__name__}")


def _symbol(record: Timed, _: Thresholds) -> Iterator[Finding]:
    if not is_pair(record.symbol):
        yield _reject("symbol", "BASE/QUOTE in capitals", record.symbol, record)


def _time(record: Timed, thresholds: Thresholds) -> Iterator[Finding]:
    for name, ts in (("ts_event", record.ts_event), ("ts_ingest", record.ts_ingest)):
        if ts <= 0:
            yield _reject("timestamp", f"{name} > 0 ns", ts, record)
        elif not EARLIEST_NS <= ts < LATEST_NS:
            yield _reject("timestamp", f"{name} in ns between 2009 and 2100", ts, record)
    ahead_ns = record.ts_event - record.ts_ingest
    if ahead_ns > thresholds.future_ns:
        expected = f"ts_event at most {thresholds.future_s:g} s after ts_ingest"
        yield _flag("future", expected, f"{ahead_ns / SECOND_NS} s", record)


def _believable(record: Record, values: dict[str, float], largest: float) -> Iterator[Finding]:
    for name, value in values.items():
        if not isfinite(value):
            yield _reject("not_finite", f"a finite {name}", value, record)
        elif value > largest:
            yield _reject("too_large", f"{name} <= {largest:g}", value, record)


def _positive(record: Record, values: dict[str, float]) -> Iterator[Finding]:
    for name, value in values.items():
        if value <= 0.0:
            yield _reject("price_not_positive", f"{name} > 0", value, record)


def _not_negative(record: Record, rule: str, values: dict[str, float]) -> Iterator[Finding]:
    for name, value in values.items():
        if value < 0.0:
            yield _reject(rule, f"{name} >= 0", value, record)


def _trade_values(trade: Trade, thresholds: Thresholds) -> Iterator[Finding]:
    yield from _believable(trade, {"price": trade.price, "size": trade.size}, thresholds.largest)
    yield from _positive(trade, {"price": trade.price})
    yield from _not_negative(trade, "negative_size", {"size": trade.size})
    if trade.size == 0.0:
        yield _flag("zero_size", "size > 0", trade.size, trade)


def _trade_id(trade: Trade, _: Thresholds) -> Iterator[Finding]:
    if not -INT64 <= trade.trade_id < INT64:
        yield _reject("trade_id", "a signed 64-bit trade_id", trade.trade_id, trade)


def _quote_values(quote: Quote, thresholds: Thresholds) -> Iterator[Finding]:
    prices = {"bid": quote.bid, "ask": quote.ask}
    sizes = {"bid_size": quote.bid_size, "ask_size": quote.ask_size}
    yield from _believable(quote, prices | sizes, thresholds.largest)
    yield from _not_negative(quote, "price_not_positive", prices)
    yield from _not_negative(quote, "negative_size", sizes)


def _quote_sides(quote: Quote, _: Thresholds) -> Iterator[Finding]:
    """Compare bid and ask; a price of 0 says that the side is empty."""
    if quote.bid == 0.0 or quote.ask == 0.0:
        yield _flag("one_sided", "bid > 0 and ask > 0", (quote.bid, quote.ask), quote)
    elif quote.bid > quote.ask:
        yield _reject("crossed", "bid <= ask", (quote.bid, quote.ask), quote)
    elif quote.bid == quote.ask:
        yield _flag("locked", "bid < ask", (quote.bid, quote.ask), quote)


def _book_levels(book: BookUpdate, thresholds: Thresholds) -> Iterator[Finding]:
    for side, levels in (("bids", book.bids), ("asks", book.asks)):
        for index, level in enumerate(levels):
            yield from _book_level(book, f"{side}[{index}]", level, thresholds.largest)


def _book_level(book: BookUpdate, name: str, level: Level, largest: float) -> Iterator[Finding]:
    price, size = level
    yield from _believable(book, {f"{name} price": price, f"{name} size": size}, largest)
    yield from _positive(book, {f"{name} price": price})
    yield from _not_negative(book, "negative_size", {f"{name} size": size})
    if book.reset and size == 0.0:
        yield _flag("zero_size", f"{name} size > 0 in a reset", size, book)


def _book_sides(book: BookUpdate, _: Thresholds) -> Iterator[Finding]:
    """Flag a crossed reset; rejecting it would leave every delta after it without its book."""
    if book.reset and book.bids and book.asks:
        bid, ask = max(book.bids)[0], min(book.asks)[0]
        if bid >= ask:
            yield _flag("crossed_book", "best bid < best ask", (bid, ask), book)


def _bar_values(bar: Bar, thresholds: Thresholds) -> Iterator[Finding]:
    prices = {"open": bar.open, "high": bar.high, "low": bar.low, "close": bar.close}
    amounts = {"volume": bar.volume, "vwap": bar.vwap, "trades": bar.trades}
    yield from _believable(bar, prices | amounts, thresholds.largest)
    yield from _positive(bar, prices)
    yield from _not_negative(bar, "negative_size", amounts)
    if not -INT64 <= bar.revision < INT64:
        yield _reject("revision", "a signed 64-bit revision", bar.revision, bar)


def _bar_shape(bar: Bar, _: Thresholds) -> Iterator[Finding]:
    if not bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high:
        found = (bar.open, bar.high, bar.low, bar.close)
        yield _reject("ohlc", "low <= open, close <= high", found, bar)


def _bar_grid(bar: Bar, _: Thresholds) -> Iterator[Finding]:
    length = TIMEFRAMES.get(bar.timeframe)
    if length is None:
        yield _reject("timeframe", f"one of {', '.join(TIMEFRAMES)}", bar.timeframe, bar)
    elif bar.ts_event % length:
        yield _flag("off_grid", f"ts_event a multiple of {bar.timeframe}", bar.ts_event, bar)


def _bar_counts(bar: Bar, _: Thresholds) -> Iterator[Finding]:
    """Check amounts together. In Alpaca's empty minute volume, trades and vwap are 0: legal."""
    if bar.volume == 0.0 and (bar.trades != 0 or bar.vwap != 0.0):
        yield _flag("no_volume", "volume > 0 where there are trades", bar.volume, bar)
    if bar.volume > 0.0 and bar.trades == 0:
        yield _flag("untold_trades", "trades > 0 where volume > 0", bar.trades, bar)
    if bar.volume > 0.0 and not bar.low <= bar.vwap <= bar.high:
        yield _flag("vwap_outside", "low <= vwap <= high", bar.vwap, bar)


TIMED_CHECKS: Final = (_symbol, _time)
TRADE_CHECKS: Final = (_symbol, _time, _trade_values, _trade_id)
QUOTE_CHECKS: Final = (_symbol, _time, _quote_values, _quote_sides)
BOOK_CHECKS: Final = (_symbol, _time, _book_levels, _book_sides)
BAR_CHECKS: Final = (_symbol, _time, _bar_values, _bar_shape, _bar_grid, _bar_counts)
