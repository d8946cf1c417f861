"""Quality rules: what a record must satisfy to be passed on as clean.

Each rule is a small pure function of one record that yields findings. A :class:`Reject` sends the
record to quarantine, a :class:`Flag` keeps it and is counted. The first thing :func:`findings` does
is one chain of comparisons that holds for a clean record and is false for NaN, so a clean record
costs about a microsecond and no rule runs.
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
    BookUpdate,
    Level,
    Quote,
    Record,
    Rejected,
    Trade,
    Unreadable,
)
from tradelake.market.symbols import parse_symbol
from tradelake.market.timeframes import SECOND_NS, TIMEFRAMES

EARLIEST_NS: Final = 1_230_768_000 * SECOND_NS
"""2009-01-01: there was no crypto market before."""
LATEST_NS: Final = 4_102_444_800 * SECOND_NS
"""2100-01-01: a time after it is a unit mistake."""
FUTURE_TOLERANCE_NS: Final = 10 * SECOND_NS
"""A venue's clock may be ahead of ours by this much before it is flagged."""
LARGEST: Final = 1e18
"""A price or size above it is a unit mistake, and sums of sizes must stay within float64."""
_INT64: Final = 2**63
_SHOWN: Final = 240
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class Reject(msgspec.Struct, frozen=True, tag=True):
    """The record breaks ``rule``; ``reason`` says what was expected, found, and in which record."""

    rule: str
    reason: str


class Flag(msgspec.Struct, frozen=True, tag=True):
    """The record is odd by ``rule`` but usable; it is kept and counted."""

    rule: str
    reason: str


Finding = Reject | Flag


def findings(record: Record) -> list[Finding]:
    """Return what is wrong or odd with a record, in the order of the rules; empty when clean."""
    if isinstance(record, Trade):
        return [] if _is_clean_trade(record) else _run(_TRADE_RULES, record)
    if isinstance(record, Quote):
        return [] if _is_clean_quote(record) else _run(_QUOTE_RULES, record)
    if isinstance(record, BookUpdate):
        return [] if _is_clean_book(record) else _run(_BOOK_RULES, record)
    if isinstance(record, Bar):
        return [] if _is_clean_bar(record) else _run(_BAR_RULES, record)
    if isinstance(record, Unreadable):
        return [Reject("unreadable", record.reason)]
    if isinstance(record, Rejected):
        return [Reject(record.rule, record.reason)]
    return []


def first_reject(found: list[Finding]) -> Reject | None:
    """Return the first reject among findings, or None when the record may pass."""
    for finding in found:
        if isinstance(finding, Reject):
            return finding
    return None


# -- the fast way through: every comparison is false for NaN ---------------------------------------


@lru_cache(maxsize=4096)
def _is_pair(symbol: str) -> bool:
    try:
        parse_symbol(symbol)
    except InvalidData:
        return False
    return True


def _is_clean_trade(trade: Trade) -> bool:
    ts = trade.ts_event
    return (
        0.0 < trade.price <= LARGEST
        and 0.0 < trade.size <= LARGEST
        and EARLIEST_NS <= ts < LATEST_NS
        and ts <= trade.ts_ingest + FUTURE_TOLERANCE_NS
        and EARLIEST_NS <= trade.ts_ingest < LATEST_NS
        and -_INT64 <= trade.trade_id < _INT64
        and _is_pair(trade.symbol)
    )


def _is_clean_quote(quote: Quote) -> bool:
    ts = quote.ts_event
    return (
        0.0 < quote.bid < quote.ask <= LARGEST
        and 0.0 <= quote.bid_size <= LARGEST
        and 0.0 <= quote.ask_size <= LARGEST
        and EARLIEST_NS <= ts < LATEST_NS
        and ts <= quote.ts_ingest + FUTURE_TOLERANCE_NS
        and EARLIEST_NS <= quote.ts_ingest < LATEST_NS
        and _is_pair(quote.symbol)
    )


def _is_clean_book(book: BookUpdate) -> bool:
    ts = book.ts_event
    if not (
        EARLIEST_NS <= ts < LATEST_NS
        and ts <= book.ts_ingest + FUTURE_TOLERANCE_NS
        and EARLIEST_NS <= book.ts_ingest < LATEST_NS
        and _is_pair(book.symbol)
    ):
        return False
    for levels in (book.bids, book.asks):
        for price, size in levels:
            if not (0.0 < price <= LARGEST and 0.0 <= size <= LARGEST):
                return False
    return not (book.reset and _book_is_odd(book))


def _is_clean_bar(bar: Bar) -> bool:
    low, high = bar.low, bar.high
    return (
        0.0 < low <= bar.open <= high <= LARGEST
        and low <= bar.close <= high
        and (
            (0.0 < bar.volume <= LARGEST and low <= bar.vwap <= high and 0 < bar.trades <= LARGEST)
            or bar.volume == bar.vwap == bar.trades == 0
        )
        and EARLIEST_NS <= bar.ts_event < LATEST_NS
        and bar.ts_event <= bar.ts_ingest + FUTURE_TOLERANCE_NS
        and EARLIEST_NS <= bar.ts_ingest < LATEST_NS
        and -_INT64 <= bar.revision < _INT64
        and bar.ts_event % TIMEFRAMES.get(bar.timeframe, LATEST_NS) == 0
        and _is_pair(bar.symbol)
    )


def _book_is_odd(book: BookUpdate) -> bool:
    if any(size == 0.0 for _, size in (*book.bids, *book.asks)):
        return True
    return bool(book.bids and book.asks) and max(book.bids)[0] >= min(book.asks)[0]


# -- the rules, in order; each is told only what it needs ------------------------------------------


def _run(rules: tuple[Callable[..., Iterator[Finding]], ...], record: Record) -> list[Finding]:
    return [finding for rule in rules for finding in rule(record)]


def _shown(record: Record) -> str:
    text = _CONTROL.sub("?", repr(record))
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _reject(rule: str, expected: str, found: object, record: Record) -> Reject:
    return Reject(rule, f"expected {expected}; found {found!r} in {_shown(record)}")


def _flag(rule: str, expected: str, found: object, record: Record) -> Flag:
    return Flag(rule, f"expected {expected}; found {found!r} in a {type(record).__name__}")


_Timed = Trade | Quote | BookUpdate | Bar


def _symbol(record: _Timed) -> Iterator[Finding]:
    if not _is_pair(record.symbol):
        yield _reject("symbol", "BASE/QUOTE in capitals", record.symbol, record)


def _time(record: _Timed) -> Iterator[Finding]:
    for name, ts in (("ts_event", record.ts_event), ("ts_ingest", record.ts_ingest)):
        if ts <= 0:
            yield _reject("timestamp", f"{name} > 0 ns", ts, record)
        elif not EARLIEST_NS <= ts < LATEST_NS:
            yield _reject("timestamp", f"{name} in ns between 2009 and 2100", ts, record)
    if record.ts_event > record.ts_ingest + FUTURE_TOLERANCE_NS:
        ahead_s = (record.ts_event - record.ts_ingest) / SECOND_NS
        yield _flag("future", "ts_event at most 10 s after ts_ingest", f"{ahead_s} s", record)


def _believable(record: Record, values: dict[str, float]) -> Iterator[Finding]:
    for name, value in values.items():
        if not isfinite(value):
            yield _reject("not_finite", f"a finite {name}", value, record)
        elif value > LARGEST:
            yield _reject("too_large", f"{name} <= {LARGEST:g}", value, record)


def _positive(record: Record, values: dict[str, float]) -> Iterator[Finding]:
    for name, value in values.items():
        if value <= 0.0:
            yield _reject("price_not_positive", f"{name} > 0", value, record)


def _not_negative(record: Record, rule: str, values: dict[str, float]) -> Iterator[Finding]:
    for name, value in values.items():
        if value < 0.0:
            yield _reject(rule, f"{name} >= 0", value, record)


def _trade_values(trade: Trade) -> Iterator[Finding]:
    yield from _believable(trade, {"price": trade.price, "size": trade.size})
    yield from _positive(trade, {"price": trade.price})
    yield from _not_negative(trade, "negative_size", {"size": trade.size})
    if trade.size == 0.0:
        yield _flag("zero_size", "size > 0", trade.size, trade)


def _trade_id(trade: Trade) -> Iterator[Finding]:
    if not -_INT64 <= trade.trade_id < _INT64:
        yield _reject("trade_id", "a signed 64-bit trade_id", trade.trade_id, trade)


def _quote_values(quote: Quote) -> Iterator[Finding]:
    prices = {"bid": quote.bid, "ask": quote.ask}
    sizes = {"bid_size": quote.bid_size, "ask_size": quote.ask_size}
    yield from _believable(quote, prices | sizes)
    yield from _not_negative(quote, "price_not_positive", prices)
    yield from _not_negative(quote, "negative_size", sizes)


def _quote_sides(quote: Quote) -> Iterator[Finding]:
    """Compare bid and ask; a price of 0 says that the side is empty."""
    if quote.bid == 0.0 or quote.ask == 0.0:
        yield _flag("one_sided", "bid > 0 and ask > 0", (quote.bid, quote.ask), quote)
    elif quote.bid > quote.ask:
        yield _reject("crossed", "bid <= ask", (quote.bid, quote.ask), quote)
    elif quote.bid == quote.ask:
        yield _flag("locked", "bid < ask", (quote.bid, quote.ask), quote)


def _book_levels(book: BookUpdate) -> Iterator[Finding]:
    for side, levels in (("bids", book.bids), ("asks", book.asks)):
        for index, level in enumerate(levels):
            yield from _book_level(book, f"{side}[{index}]", level)


def _book_level(book: BookUpdate, name: str, level: Level) -> Iterator[Finding]:
    price, size = level
    yield from _believable(book, {f"{name} price": price, f"{name} size": size})
    yield from _positive(book, {f"{name} price": price})
    yield from _not_negative(book, "negative_size", {f"{name} size": size})
    if book.reset and size == 0.0:
        yield _flag("zero_size", f"{name} size > 0 in a reset", size, book)


def _book_sides(book: BookUpdate) -> Iterator[Finding]:
    """Flag a crossed reset; rejecting it would leave every delta after it without its book."""
    if book.reset and book.bids and book.asks:
        bid, ask = max(book.bids)[0], min(book.asks)[0]
        if bid >= ask:
            yield _flag("crossed_book", "best bid < best ask", (bid, ask), book)


def _bar_values(bar: Bar) -> Iterator[Finding]:
    prices = {"open": bar.open, "high": bar.high, "low": bar.low, "close": bar.close}
    amounts = {"volume": bar.volume, "vwap": bar.vwap, "trades": bar.trades}
    yield from _believable(bar, prices | amounts)
    yield from _positive(bar, prices)
    yield from _not_negative(bar, "negative_size", amounts)
    if not -_INT64 <= bar.revision < _INT64:
        yield _reject("revision", "a signed 64-bit revision", bar.revision, bar)


def _bar_shape(bar: Bar) -> Iterator[Finding]:
    if not bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high:
        found = (bar.open, bar.high, bar.low, bar.close)
        yield _reject("ohlc", "low <= open, close <= high", found, bar)


def _bar_grid(bar: Bar) -> Iterator[Finding]:
    length = TIMEFRAMES.get(bar.timeframe)
    if length is None:
        yield _reject("timeframe", f"one of {', '.join(TIMEFRAMES)}", bar.timeframe, bar)
    elif bar.ts_event % length:
        yield _flag("off_grid", f"ts_event a multiple of {bar.timeframe}", bar.ts_event, bar)


def _bar_counts(bar: Bar) -> Iterator[Finding]:
    """Check amounts together. In Alpaca's empty minute volume, trades and vwap are 0: legal."""
    if bar.volume == 0.0 and (bar.trades != 0 or bar.vwap != 0.0):
        yield _flag("no_volume", "volume > 0 where there are trades", bar.volume, bar)
    if bar.volume > 0.0 and bar.trades == 0:
        yield _flag("untold_trades", "trades > 0 where volume > 0", bar.trades, bar)
    if bar.volume > 0.0 and not bar.low <= bar.vwap <= bar.high:
        yield _flag("vwap_outside", "low <= vwap <= high", bar.vwap, bar)


_TRADE_RULES: Final = (_symbol, _time, _trade_values, _trade_id)
_QUOTE_RULES: Final = (_symbol, _time, _quote_values, _quote_sides)
_BOOK_RULES: Final = (_symbol, _time, _book_levels, _book_sides)
_BAR_RULES: Final = (_symbol, _time, _bar_values, _bar_shape, _bar_grid, _bar_counts)
