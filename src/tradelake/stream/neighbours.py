"""Quality rules that need neighbours: duplicate, out of order, stale, spike, size and spread.

:class:`Neighbours` sees the records of one ordered stream and marks what is odd beside those of the
same channel and symbol before it. It never rejects: what a neighbour makes look odd may be the
market. It is a deterministic function of the sequence, O(1) a record, with bounded memory.

What is far from usual, :mod:`tradelake.stream.local_scale` says; the thresholds are the symbol's.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import inf
from typing import Final, TypeVar

from tradelake.market.channels import ORDERBOOKS
from tradelake.market.records import Bar, BookUpdate, Quote, Record, Trade
from tradelake.stream.local_scale import LocalLevel, LocalTail
from tradelake.stream.quality import with_flags
from tradelake.stream.quality_rules import (
    DUPLICATE,
    OUT_OF_ORDER,
    SIZE_OUTLIER,
    SPIKE,
    SPREAD_OUTLIER,
    STALE,
)
from tradelake.stream.thresholds import SymbolThresholds, Thresholds

MAX_SERIES: Final = 20_000
"""Channels times symbols remembered; the one known for longest is forgotten first."""
_LONG_AGO: Final = -(2**63)
_Rules = tuple[str, ...]
_NONE: Final[_Rules] = ()


class Neighbours:
    """A :class:`tradelake.ports.Stage` that marks what is odd among its neighbours.

    Parameters
    ----------
    thresholds : SymbolThresholds
        By symbol.
    live : bool
        Whether the records are received as they happen; history is never stale.
    """

    def __init__(self, thresholds: SymbolThresholds, *, live: bool = True) -> None:
        self._thresholds = thresholds
        self._live = live
        self._trades: dict[str, _Trades] = {}
        self._quotes: dict[str, _Quotes] = {}
        self._others: dict[tuple[str, str], _Series] = {}

    def process(self, records: Sequence[Record], now_ns: int) -> Sequence[Record]:  # noqa: ARG002
        """Return the records, those that are odd with flags; the same list when none is.

        The time is not looked at, only each record's own: so the same records give the same flags.
        """
        changed: list[Record] | None = None
        for index, record in enumerate(records):
            if isinstance(record, Quote):
                quotes = self._quotes.get(record.symbol) or self._new_quotes(record.symbol)
                rules = quotes.odd(record)
            elif isinstance(record, Trade):
                trades = self._trades.get(record.symbol) or self._new_trades(record.symbol)
                rules = trades.odd(record)
            elif isinstance(record, BookUpdate):
                rules = self._other(ORDERBOOKS, record.symbol, live=self._live).odd_book(record)
            elif isinstance(record, Bar):
                series = f"{record.channel} {record.timeframe}"
                rules = self._other(series, record.symbol, live=False).odd_bar(record)
            else:
                continue
            if rules:
                if changed is None:
                    changed = list(records)
                changed[index] = with_flags(record, rules)
        return records if changed is None else changed

    def _new_trades(self, symbol: str) -> _Trades:
        series = _Trades(self._thresholds[symbol], live=self._live)
        _remember(self._trades, symbol, series)
        return series

    def _new_quotes(self, symbol: str) -> _Quotes:
        series = _Quotes(self._thresholds[symbol], live=self._live)
        _remember(self._quotes, symbol, series)
        return series

    def _other(self, channel: str, symbol: str, *, live: bool) -> _Series:
        found = self._others.get((channel, symbol))
        if found is None:
            found = _Series(self._thresholds[symbol], live=live)
            _remember(self._others, (channel, symbol), found)
        return found


_Key = TypeVar("_Key", bound=Hashable)
_Kind = TypeVar("_Kind")


def _remember(series: dict[_Key, _Kind], key: _Key, made: _Kind) -> None:
    if len(series) >= MAX_SERIES:
        del series[next(iter(series))]
    series[key] = made


class _Series:
    """Time and identities of one channel and symbol."""

    __slots__ = (
        "_future_ns",
        "_late_ns",
        "_newest_ns",
        "_older",
        "_recent",
        "_remembered",
        "_stale_ns",
    )

    def __init__(self, thresholds: Thresholds, *, live: bool) -> None:
        stale_s = thresholds.stale_s
        self._stale_ns = inf if stale_s is None or not live else stale_s * 1e9
        self._future_ns = thresholds.future_ns
        self._late_ns = thresholds.out_of_order_s * 1e9
        self._remembered = thresholds.duplicate_records
        self._newest_ns = _LONG_AGO
        self._recent: dict[Hashable, Hashable] = {}
        self._older: dict[Hashable, Hashable] = {}

    def odd_among(self, ts_event: int, ts_ingest: int, content: Hashable) -> _Rules:
        """Return the rules of time and identity that a record is odd by, and take it in.

        A time that is well ahead of the receipt is the venue's mistake and makes nothing late.
        """
        rules: _Rules = _NONE
        if ts_event >= self._newest_ns:
            if ts_event <= ts_ingest or ts_event - ts_ingest <= self._future_ns:
                self._newest_ns = ts_event
        elif self._newest_ns - ts_event > self._late_ns:
            rules = (OUT_OF_ORDER,)
        if ts_ingest - ts_event > self._stale_ns:
            rules = (*rules, STALE)
        recent = self._recent
        if ts_event in recent or ts_event in self._older:
            return (DUPLICATE, *rules) if self._is_repeat(ts_event, content) else rules
        if len(recent) >= self._remembered:
            self._older = recent
            self._recent = recent = {}
        recent[ts_event] = content
        return rules

    def _is_repeat(self, ts_event: int, content: Hashable) -> bool:
        """Return whether this content of a time that was seen lately was seen too; remember it.

        The first of a time is under the time alone, which is all that most need. Two generations:
        when the younger is full the older is forgotten, so at least ``duplicate_records`` are
        remembered and at most twice as many.
        """
        first = self._recent.get(ts_event)
        if first is None:
            first = self._older.get(ts_event)
        if first == content:
            return True
        key = (ts_event, content)
        if key in self._recent or key in self._older:
            return True
        if len(self._recent) >= self._remembered:
            self._older, self._recent = self._recent, {}
        self._recent[key] = content
        return False

    def odd_book(self, book: BookUpdate) -> _Rules:
        """Return the rules an update is odd by; an equal one of the same instant has a number."""
        content = (book.occurrence, tuple(book.bids), tuple(book.asks), book.reset)
        rules = self.odd_among(book.ts_event, book.ts_ingest, content)
        return (*rules, DUPLICATE) if book.occurrence else rules

    def odd_bar(self, bar: Bar) -> _Rules:
        """Return the rules a bar is odd by; another revision of a bar is no duplicate."""
        return self.odd_among(bar.ts_event, bar.ts_ingest, bar.revision)


class _Trades(_Series):
    __slots__ = ("_price", "_size")

    def __init__(self, thresholds: Thresholds, *, live: bool) -> None:
        super().__init__(thresholds, live=live)
        self._price = _level(thresholds)
        self._size = LocalTail(thresholds.size_multiple, 0.0, thresholds.warm_up)

    def odd(self, trade: Trade) -> _Rules:
        ts_event = trade.ts_event
        rules = self.odd_among(ts_event, trade.ts_ingest, trade.trade_id)
        if rules and rules[0] is DUPLICATE:
            return rules
        if 0.0 < trade.price < inf and self._price.is_spike(trade.price, ts_event):
            rules = (*rules, SPIKE)
        if 0.0 < trade.size < inf and self._size.is_outlier(trade.size):
            rules = (*rules, SIZE_OUTLIER)
        return rules


class _Quotes(_Series):
    __slots__ = ("_middle", "_spread")

    def __init__(self, thresholds: Thresholds, *, live: bool) -> None:
        super().__init__(thresholds, live=live)
        self._middle = _level(thresholds)
        floor = thresholds.spread_floor_bps * 1e-4
        self._spread = LocalTail(thresholds.spread_multiple, floor, thresholds.warm_up)

    def odd(self, quote: Quote) -> _Rules:
        bid, ask, ts_event = quote.bid, quote.ask, quote.ts_event
        content = (bid, ask, quote.bid_size, quote.ask_size)
        rules = self.odd_among(ts_event, quote.ts_ingest, content)
        if quote.occurrence:
            return (DUPLICATE, *rules)
        if rules and rules[0] is DUPLICATE:
            return rules
        if 0.0 < bid < ask < inf:
            middle = 0.5 * (bid + ask)
            if self._middle.is_spike(middle, ts_event):
                rules = (*rules, SPIKE)
            if self._spread.is_outlier((ask - bid) / middle):
                rules = (*rules, SPREAD_OUTLIER)
        return rules


def _level(thresholds: Thresholds) -> LocalLevel:
    return LocalLevel(
        thresholds.spike_mads,
        thresholds.spike_floor_bps * 1e-4,
        thresholds.spike_window,
        thresholds.spike_run,
        thresholds.warm_up,
    )
