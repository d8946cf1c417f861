"""The one list of the quality rules: name, what happens, what it means, which thresholds it reads.

The reference page is made from it, and tests hold the code that finds things to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from tradelake.market.channels import (
    BARS,
    DERIVED,
    INSTRUMENTS,
    ORDERBOOKS,
    QUOTES,
    SNAPSHOTS,
    TRADES,
    UNKNOWN,
)

Action = Literal["reject", "flag"]
Step = Literal["validate", "neighbours", "transform"]
"""Who applies a rule: ``validate`` to a record alone, ``neighbours`` to a record among those of its
channel and symbol, ``transform`` to what a user's transform did."""

TRANSFORM_RULE: Final = "transform:"
"""What the rule of a reject begins with that a user's transform could not deal with."""
STALE: Final = "stale"
DUPLICATE: Final = "duplicate"
OUT_OF_ORDER: Final = "out_of_order"
SPIKE: Final = "spike"
SIZE_OUTLIER: Final = "size_outlier"
SPREAD_OUTLIER: Final = "spread_outlier"


@dataclass(frozen=True, slots=True)
class Rule:
    """A quality rule.

    Parameters
    ----------
    name : str
        As in ``quarantine.rule`` and in ``flags``.
    action : {"reject", "flag"}
        To quarantine, or kept and marked.
    step : str
        Who applies it.
    channels : tuple of str
        Records of which channels it looks at; bars of every channel are named ``bars``.
    meaning : str
        What is wrong or odd.
    thresholds : tuple of str
        Fields of :class:`tradelake.stream.thresholds.Thresholds` that it reads.
    """

    name: str
    action: Action
    step: Step
    channels: tuple[str, ...]
    meaning: str
    thresholds: tuple[str, ...] = ()


_TICKS: Final = (TRADES, QUOTES, ORDERBOOKS)
_BOOKS: Final = (ORDERBOOKS, SNAPSHOTS)
_ALL: Final = (*_TICKS, BARS)
_PRICED: Final = (*_ALL, SNAPSHOTS)
_TIMED: Final = (*_PRICED, INSTRUMENTS)

RULES: Final = (
    Rule("symbol", "reject", "validate", _TIMED, "the symbol is not spelt BASE/QUOTE in capitals"),
    Rule(
        "timestamp",
        "reject",
        "validate",
        _TIMED,
        "ts_event or ts_ingest is no time in ns between 2009 and 2100",
    ),
    Rule("future", "flag", "validate", _TIMED, "ts_event is well after the receipt", ("future_s",)),
    Rule("not_finite", "reject", "validate", _PRICED, "a number is NaN or infinite"),
    Rule(
        "too_large",
        "reject",
        "validate",
        _PRICED,
        "a price, size or count is huge",
        ("largest",),
    ),
    Rule(
        "price_not_positive",
        "reject",
        "validate",
        _PRICED,
        "a price is 0 or less; a quote's: less",
    ),
    Rule(
        "negative_size",
        "reject",
        "validate",
        _PRICED,
        "a size, volume, vwap or count is below 0",
    ),
    Rule("trade_id", "reject", "validate", (TRADES,), "the trade_id needs more than 64 bits"),
    Rule(
        "zero_size",
        "flag",
        "validate",
        (TRADES, *_BOOKS),
        "a trade, or a level of a book's reset or snapshot, has size 0",
    ),
    Rule("crossed", "reject", "validate", (QUOTES,), "the bid is above the ask"),
    Rule("locked", "flag", "validate", (QUOTES,), "the bid equals the ask"),
    Rule("one_sided", "flag", "validate", (QUOTES,), "a price is 0: that side is empty"),
    Rule(
        "crossed_book",
        "flag",
        "validate",
        _BOOKS,
        "the best bid of a reset reaches its ask; a snapshot's did so since the book's last reset",
    ),
    Rule("book_order", "reject", "validate", (SNAPSHOTS,), "levels are not best first, each once"),
    Rule("updates", "reject", "validate", (SNAPSHOTS,), "the count of updates is impossible"),
    Rule(
        "decimal",
        "reject",
        "validate",
        (INSTRUMENTS,),
        "a minimum or increment is no decimal that is counted",
    ),
    Rule(
        "renamed_to",
        "reject",
        "validate",
        (INSTRUMENTS,),
        "a rename names no symbol that follows, or another event names one",
    ),
    Rule("unknown_status", "flag", "validate", (INSTRUMENTS,), "neither active nor inactive"),
    Rule("revision", "reject", "validate", (BARS,), "the revision needs more than 64 bits"),
    Rule("ohlc", "reject", "validate", (BARS,), "low <= open, close <= high does not hold"),
    Rule("timeframe", "reject", "validate", (BARS,), "the timeframe is unknown"),
    Rule("off_grid", "flag", "validate", (BARS,), "ts_event is no multiple of the timeframe"),
    Rule("no_volume", "flag", "validate", (BARS,), "there are trades or a vwap, but no volume"),
    Rule("untold_trades", "flag", "validate", (BARS,), "there is volume, but no trade"),
    Rule("vwap_outside", "flag", "validate", (BARS,), "the vwap is not between low and high"),
    Rule("unreadable", "reject", "validate", (UNKNOWN,), "no decoder understood the message"),
    Rule("envelope", "reject", "validate", (UNKNOWN,), "a record of the stream is no micro-batch"),
    Rule(
        "oversize",
        "reject",
        "validate",
        (UNKNOWN,),
        "what is left, or rejected, of a micro-batch does not fit into a record of the stream",
    ),
    Rule(
        STALE,
        "flag",
        "neighbours",
        _TICKS,
        "received live long after it happened",
        ("stale_s",),
    ),
    Rule(
        DUPLICATE,
        "flag",
        "neighbours",
        _ALL,
        "the same was received before: a trade's id and time, else time and content",
        ("duplicate_records",),
    ),
    Rule(
        OUT_OF_ORDER,
        "flag",
        "neighbours",
        _ALL,
        "ts_event is before that of an earlier record of the channel and symbol",
        ("out_of_order_s",),
    ),
    Rule(
        SPIKE,
        "flag",
        "neighbours",
        (TRADES, QUOTES),
        "the price, or the quote's middle, is far from the local level by the local scale",
        ("spike_mads", "spike_floor_bps", "spike_window", "spike_run", "warm_up"),
    ),
    Rule(
        SIZE_OUTLIER,
        "flag",
        "neighbours",
        (TRADES,),
        "the size is far above the local 99th percentile",
        ("size_multiple", "warm_up"),
    ),
    Rule(
        SPREAD_OUTLIER,
        "flag",
        "neighbours",
        (QUOTES,),
        "the spread is far above the local 99th percentile",
        ("spread_multiple", "spread_floor_bps", "warm_up"),
    ),
    Rule(
        f"{TRANSFORM_RULE}<name>",
        "reject",
        "transform",
        (DERIVED,),
        "a user's transform raised, took too long or answered what cannot be kept; the record"
        " itself is stored as ever",
    ),
)
