"""Stateless rules of what we say ourselves: snapshots of books, and instruments.

Snapshots are made of updates before these were validated, so the rules that reject an update's
values reject a snapshot's too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from math import isfinite
from typing import Final

from tradelake.errors import InvalidData
from tradelake.market.increments import DECIMALS, expected, is_countable
from tradelake.market.records import BookSnapshot, Instrument
from tradelake.market.symbols import parse_symbol
from tradelake.stream.quality_checks import INT64, TIMED_CHECKS, Finding, Flag, Reject, run
from tradelake.stream.thresholds import DEFAULTS, Thresholds

STATUSES: Final = ("active", "inactive")
_DECIMAL: Final = re.compile(r"[0-9]{1,30}(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,3})?")
_SHOWN: Final = 60


def findings_of_ours(
    record: BookSnapshot | Instrument, thresholds: Thresholds = DEFAULTS
) -> list[Finding]:
    """Return what is wrong or odd with a snapshot or an instrument."""
    if isinstance(record, BookSnapshot):
        return findings_of_snapshot(record, thresholds)
    return findings_of_instrument(record, thresholds)


def findings_of_snapshot(record: BookSnapshot, thresholds: Thresholds = DEFAULTS) -> list[Finding]:
    """Return what is wrong or odd with a snapshot; an empty side is neither."""
    return run((*TIMED_CHECKS, _levels, _order, _sides, _updates), record, thresholds)


def findings_of_instrument(record: Instrument, thresholds: Thresholds = DEFAULTS) -> list[Finding]:
    """Return what is wrong or odd with an instrument; an empty decimal says nothing."""
    return run((*TIMED_CHECKS, _decimals, _follower, _status), record, thresholds)


def _reject(rule: str, expected: str, found: object, record: BookSnapshot | Instrument) -> Reject:
    kind = type(record).__name__
    return Reject(
        rule,
        f"expected {expected}; found {found!r:.{_SHOWN}} in a {kind} of {record.symbol!r:.{_SHOWN}}"
        f" at {record.ts_event} ns",
    )


def _levels(record: BookSnapshot, thresholds: Thresholds) -> Iterator[Finding]:
    for side, levels in (("bids", record.bids), ("asks", record.asks)):
        for index, (price, size) in enumerate(levels):
            name = f"{side}[{index}]"
            for what, value in ((f"{name} price", price), (f"{name} size", size)):
                if not isfinite(value):
                    yield _reject("not_finite", f"a finite {what}", value, record)
                elif value > thresholds.largest:
                    yield _reject("too_large", f"{what} <= {thresholds.largest:g}", value, record)
            if price <= 0.0:
                yield _reject("price_not_positive", f"{name} price > 0", price, record)
            if size < 0.0:
                yield _reject("negative_size", f"{name} size >= 0", size, record)
            elif size == 0.0:
                yield Flag("zero_size", f"expected {name} size > 0; found 0 in a BookSnapshot")


def _order(record: BookSnapshot, _: Thresholds) -> Iterator[Finding]:
    """Check that levels are best first, each price once."""
    for side, levels, sign in (("bids", record.bids, -1.0), ("asks", record.asks, 1.0)):
        for (before, _size), (after, _other) in pairwise(levels):
            if before * sign >= after * sign:
                yield _reject("book_order", f"{side} best first", (before, after), record)
                break


def _sides(record: BookSnapshot, _: Thresholds) -> Iterator[Finding]:
    if record.bids and record.asks:
        bid, ask = record.bids[0][0], record.asks[0][0]
        if bid >= ask:
            found = f"{(bid, ask)} in a BookSnapshot"
            yield Flag("crossed_book", f"expected best bid < best ask; found {found}")


def _updates(record: BookSnapshot, _: Thresholds) -> Iterator[Finding]:
    if not 0 <= record.updates < INT64:
        yield _reject("updates", "a count of updates in 64 bits", record.updates, record)


def _decimals(record: Instrument, _: Thresholds) -> Iterator[Finding]:
    for name in DECIMALS:
        text = getattr(record, name)
        if text and (_DECIMAL.fullmatch(text) is None or not is_countable(name, Decimal(text))):
            yield _reject("decimal", expected(name), text, record)


def _follower(record: Instrument, _: Thresholds) -> Iterator[Finding]:
    if record.event == "renamed":
        try:
            parse_symbol(record.renamed_to)
        except InvalidData:
            yield _reject("renamed_to", "the symbol that follows", record.renamed_to, record)
    elif record.renamed_to:
        yield _reject("renamed_to", f"none of event {record.event}", record.renamed_to, record)


def _status(record: Instrument, _: Thresholds) -> Iterator[Finding]:
    if record.status not in STATUSES:
        expected = " or ".join(STATUSES)
        found = f"{record.status!r:.{_SHOWN}} in an Instrument"
        yield Flag("unknown_status", f"expected {expected}; found {found}")
