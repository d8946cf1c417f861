"""Quality rules: what a record must satisfy to be passed on as clean.

A rule yields findings about one record. A :class:`Reject` sends the record to quarantine, a
:class:`Flag` keeps it and travels with it in its field ``flags``. The first thing :func:`findings`
does is one chain of comparisons that holds for a clean record and is false for NaN, so a clean
record costs about half a microsecond and no rule runs. What a single record cannot tell, its
neighbours do: :mod:`tradelake.stream.neighbours`. Every rule is listed in
:mod:`tradelake.stream.quality_rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from tradelake.market.records import (
    Bar,
    BookSnapshot,
    BookUpdate,
    Derived,
    Instrument,
    Quote,
    Record,
    Rejected,
    Trade,
    Unreadable,
)
from tradelake.market.timeframes import TIMEFRAMES
from tradelake.stream.quality_checks import (
    BAR_CHECKS,
    BOOK_CHECKS,
    EARLIEST_NS,
    INT64,
    LATEST_NS,
    QUOTE_CHECKS,
    TRADE_CHECKS,
    Finding,
    Flag,
    Reject,
    Timed,
    is_pair,
    run,
)
from tradelake.stream.quality_reference import findings_of_ours
from tradelake.stream.thresholds import DEFAULTS, Thresholds

__all__ = ["Finding", "Flag", "Reject", "findings", "first_reject", "suspects", "with_flags"]

Flagged = TypeVar(
    "Flagged", bound=Trade | Quote | BookUpdate | Bar | BookSnapshot | Instrument | Derived
)


def findings(record: Record, thresholds: Thresholds = DEFAULTS) -> list[Finding]:
    """Return what is wrong or odd with a record, in the order of the rules; empty when clean."""
    if not suspects((record,), {record.symbol: thresholds}):
        return []
    if isinstance(record, Trade):
        return run(TRADE_CHECKS, record, thresholds)
    if isinstance(record, Quote):
        return run(QUOTE_CHECKS, record, thresholds)
    if isinstance(record, BookUpdate):
        return run(BOOK_CHECKS, record, thresholds)
    if isinstance(record, Bar):
        return run(BAR_CHECKS, record, thresholds)
    if isinstance(record, BookSnapshot | Instrument):
        return findings_of_ours(record, thresholds)
    if isinstance(record, Unreadable):
        return [Reject("unreadable", record.reason)]
    if isinstance(record, Rejected):
        return [Reject(record.rule, record.reason)]
    return []


def suspects(records: Sequence[Record], thresholds: Mapping[str, Thresholds]) -> list[int]:
    """Return the positions of records not seen to be clean at once; the others have no findings.

    Parameters
    ----------
    records : sequence of Record
        Of one venue.
    thresholds : mapping of str to Thresholds
        By symbol.
    """
    found: list[int] = []
    known = thresholds.get
    for position, record in enumerate(records):
        limits = known(record.symbol) or thresholds[record.symbol]
        # quotes and trades are most: their comparisons stand here, calls cost
        if type(record) is Quote:
            q, largest = record, limits.largest
            if (
                0.0 < q.bid < q.ask <= largest
                and 0.0 <= q.bid_size <= largest
                and 0.0 <= q.ask_size <= largest
                and (EARLIEST_NS <= q.ts_event <= q.ts_ingest < LATEST_NS or _is_timely(q, limits))
                and is_pair(q.symbol)
            ):
                continue
        elif type(record) is Trade:
            t, largest = record, limits.largest
            if (
                0.0 < t.price <= largest
                and 0.0 < t.size <= largest
                and (EARLIEST_NS <= t.ts_event <= t.ts_ingest < LATEST_NS or _is_timely(t, limits))
                and -INT64 <= t.trade_id < INT64
                and is_pair(t.symbol)
            ):
                continue
        elif _CLEAN.get(type(record), _is_unknown)(record, limits):
            continue
        found.append(position)
    return found


def first_reject(found: list[Finding]) -> Reject | None:
    """Return the first reject among findings, or None when the record may pass."""
    for finding in found:
        if isinstance(finding, Reject):
            return finding
    return None


def with_flags(record: Flagged, rules: Iterable[str]) -> Flagged:
    """Return the record with these rules among its flags; the same object where they all are.

    >>> trade = Trade("BTC/USD", 1, 2, 3, 4.0, 5.0, flags="spike")
    >>> with_flags(trade, ["future", "spike"]).flags
    'future,spike'
    """
    known = set(record.flags.split(",")) if record.flags else set()
    merged = known.union(rules)
    if merged == known:
        return record
    return msgspec.structs.replace(record, flags=",".join(sorted(merged)))


# -- the fast way through: every comparison is false for NaN ---------------------------------------


def _is_timely(record: Timed, thresholds: Thresholds) -> bool:
    """Whether the times are believable, also where the venue's clock is ahead of ours."""
    return (
        EARLIEST_NS <= record.ts_event < LATEST_NS
        and EARLIEST_NS <= record.ts_ingest < LATEST_NS
        and record.ts_event - record.ts_ingest <= thresholds.future_ns
    )


def _is_clean_book(book: BookUpdate, thresholds: Thresholds) -> bool:
    timely = EARLIEST_NS <= book.ts_event <= book.ts_ingest < LATEST_NS
    if not ((timely or _is_timely(book, thresholds)) and is_pair(book.symbol)):
        return False
    largest = thresholds.largest
    for levels in (book.bids, book.asks):
        for price, size in levels:
            if price > 0.0 and price <= largest and size >= 0.0 and size <= largest:
                continue  # written out: cheaper than chained, and false for NaN as well
            return False
    return not (book.reset and _book_is_odd(book))


def _is_clean_bar(bar: Bar, thresholds: Thresholds) -> bool:
    low, high, largest = bar.low, bar.high, thresholds.largest
    return (
        0.0 < low <= bar.open <= high <= largest
        and low <= bar.close <= high
        and (
            (0.0 < bar.volume <= largest and low <= bar.vwap <= high and 0 < bar.trades <= largest)
            or bar.volume == bar.vwap == bar.trades == 0
        )
        and (
            EARLIEST_NS <= bar.ts_event <= bar.ts_ingest < LATEST_NS or _is_timely(bar, thresholds)
        )
        and -INT64 <= bar.revision < INT64
        and bar.ts_event % TIMEFRAMES.get(bar.timeframe, LATEST_NS) == 0
        and is_pair(bar.symbol)
    )


def _book_is_odd(book: BookUpdate) -> bool:
    if any(size == 0.0 for _, size in (*book.bids, *book.asks)):
        return True
    return bool(book.bids and book.asks) and max(book.bids)[0] >= min(book.asks)[0]


def _is_unknown(_: object, __: Thresholds) -> bool:
    """No quick way through: the rules decide."""
    return False


_CLEAN: Final[Mapping[type, Callable[[Any, Thresholds], bool]]] = {
    BookUpdate: _is_clean_book,
    Bar: _is_clean_bar,
}
