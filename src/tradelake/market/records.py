"""Trade, Quote, Bar and BookUpdate: what the venue said, in our units.

A record carries values as they came, believable or not: whether they may be used is a finding of
:mod:`tradelake.stream.quality`, because a constructor that refused would take the record's
neighbours in the same micro-batch down with it (ADR 0003). Everything behind the ``clean`` stream
has passed every rule.

All times are ``int`` nanoseconds since 1970 UTC: ``ts_event`` the venue's, ``ts_ingest`` when we
first saw it. ``flags`` names the quality rules that found the record odd, sorted and joined by
commas; empty where none did. Encoded as MessagePack arrays tagged by a small integer, so new fields
go to the end.
"""

from __future__ import annotations

from typing import Literal

import msgspec

TakerSide = Literal["buy", "sell", ""]
"""Who crossed the spread; empty where the venue does not say."""

Level = tuple[float, float]
"""(price in quote units, size in base units); size 0 removes the level."""


class Trade(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """One executed trade. Identity: (venue, symbol, trade_id, ts_event)."""

    symbol: str
    ts_event: int
    ts_ingest: int
    trade_id: int
    price: float
    size: float
    taker_side: TakerSide = ""
    flags: str = ""


class Quote(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """The best bid and ask. ``occurrence`` tells equal quotes at one instant apart (0, 1, ...)."""

    symbol: str
    ts_event: int
    ts_ingest: int
    bid: float
    bid_size: float
    ask: float
    ask_size: float
    occurrence: int = 0
    flags: str = ""


class BookUpdate(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Changed levels of an order book, or with ``reset`` the whole book."""

    symbol: str
    ts_event: int
    ts_ingest: int
    bids: list[Level]
    asks: list[Level]
    reset: bool = False
    occurrence: int = 0
    flags: str = ""


class Bar(msgspec.Struct, frozen=True, array_like=True, tag=4, gc=False):
    """One revision of one bar; ``ts_event`` is its open. Empty minutes: volume, trades, vwap 0."""

    symbol: str
    ts_event: int
    ts_ingest: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    vwap: float
    trades: int
    timeframe: str
    source: Literal["alpaca", "tradelake"]
    channel: str
    revision: int = 0
    status: Literal["complete", "partial", "backfilled"] = "complete"
    flags: str = ""


class BookSnapshot(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """The best levels of a book we built, best first; ``ts_event`` is its last update's.

    ``updates`` counts the updates of this symbol's book since its last reset: it tells snapshots of
    one instant apart.
    """

    symbol: str
    ts_event: int
    ts_ingest: int
    bids: list[Level]
    asks: list[Level]
    updates: int
    flags: str = ""


InstrumentEvent = Literal["listed", "changed", "halted", "resumed", "delisted", "renamed"]


class Instrument(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """What the venue says of an asset from ``ts_event`` on.

    Increments and minimum are decimals as the venue wrote them. ``renamed_to`` is the symbol that
    follows this one, for the event ``renamed``.
    """

    symbol: str
    ts_event: int
    ts_ingest: int
    event: InstrumentEvent
    status: str
    tradable: bool
    min_order_size: str
    min_trade_increment: str
    price_increment: str
    renamed_to: str = ""
    flags: str = ""


class Derived(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """What a user's transform made of a record.

    ``fields`` is a JSON object; ``ordinal`` tells records of one transform, symbol and instant
    apart.
    """

    symbol: str
    ts_event: int
    ts_ingest: int
    transform: str
    fields: str
    ordinal: int = 0
    flags: str = ""


class Unreadable(msgspec.Struct, frozen=True, array_like=True, tag=9, gc=False):
    """A message that could not be read as any of the others, kept as it came for quarantine."""

    symbol: str
    ts_ingest: int
    channel: str
    reason: str
    raw: bytes


class Rejected(msgspec.Struct, frozen=True, array_like=True, tag=10, gc=False):
    """A record that broke a quality rule, on its way to quarantine. ``raw`` is its own encoding."""

    symbol: str
    ts_event: int
    ts_ingest: int
    channel: str
    rule: str
    reason: str
    raw: bytes
    position: int


Record = (
    Trade | Quote | BookUpdate | Bar | BookSnapshot | Instrument | Derived | Unreadable | Rejected
)


def channel_of(record: Record) -> str:
    """Alpaca's name of the channel a record belongs to."""
    match record:
        case Trade():
            return "trades"
        case Quote():
            return "quotes"
        case BookUpdate():
            return "orderbooks"
        case BookSnapshot():
            return "snapshots"
        case Instrument():
            return "instruments"
        case Derived():
            return "derived"
        case _:
            return record.channel
