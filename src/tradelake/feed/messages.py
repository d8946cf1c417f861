"""Alpaca's messages as its wire protocol spells them, and what a decoded frame holds.

Field names are the protocol's one-letter keys, so that msgspec decodes straight into them; nothing
outside :mod:`tradelake.feed` sees the data messages, which become :mod:`tradelake.market.records`
in :mod:`tradelake.feed.decode`. Integers are bounded by what 64 bits hold, so that every record can
be encoded again.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import msgspec

from tradelake.market.records import Record

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Time = msgspec.Raw
"""An instant as it came: MessagePack's Timestamp extension (type -1), or RFC 3339 text.

It is read, and refused, by :class:`tradelake.feed.timestamps.TimeReader`. It is a view of the
frame, so a message must not be kept.
"""


class WireTrade(msgspec.Struct, tag_field="T", tag="t", gc=False):
    """A trade; ``tks`` is the taker's side."""

    S: str
    t: Time
    i: Int64
    p: float
    s: float
    tks: Literal["B", "S", ""] = ""


class WireQuote(msgspec.Struct, tag_field="T", tag="q", gc=False):
    """The best bid and ask."""

    S: str
    t: Time
    bp: float
    bs: float
    ap: float
    as_: float = msgspec.field(name="as")


class WireLevel(msgspec.Struct, gc=False):
    """A level of a book; size 0 removes it."""

    p: float
    s: float


class WireBook(msgspec.Struct, tag_field="T", tag="o"):
    """A change of an order book; ``r``: the whole book. A side without changes may be null."""

    S: str
    t: Time
    b: list[WireLevel] | None = None
    a: list[WireLevel] | None = None
    r: bool = False


class WireBar(msgspec.Struct, tag_field="T", tag="b", gc=False):
    """A minute bar."""

    S: str
    t: Time
    o: float
    h: float
    l: float  # noqa: E741 - the protocol's key
    c: float
    v: float
    n: Int64
    vw: float


class WireUpdatedBar(WireBar, tag_field="T", tag="u", gc=False):
    """A minute bar again, after late trades."""


class WireDailyBar(WireBar, tag_field="T", tag="d", gc=False):
    """The day's bar so far."""


class Success(msgspec.Struct, frozen=True, tag_field="T", tag="success"):
    """``connected`` or ``authenticated``."""

    msg: str


class ErrorMessage(msgspec.Struct, frozen=True, tag_field="T", tag="error"):
    """The venue refuses something; what follows from ``code`` is decided by the session."""

    code: int
    msg: str = ""


class Acknowledgement(msgspec.Struct, frozen=True, tag_field="T", tag="subscription"):
    """The FULL state of the subscription: symbols by channel."""

    trades: tuple[str, ...] = ()
    quotes: tuple[str, ...] = ()
    orderbooks: tuple[str, ...] = ()
    bars: tuple[str, ...] = ()
    updated_bars: tuple[str, ...] = msgspec.field(name="updatedBars", default=())
    daily_bars: tuple[str, ...] = msgspec.field(name="dailyBars", default=())


Control = Success | ErrorMessage | Acknowledgement
WireMessage = (
    WireTrade
    | WireQuote
    | WireBook
    | WireBar
    | WireUpdatedBar
    | WireDailyBar
    | Success
    | ErrorMessage
    | Acknowledgement
)


class Decoded(NamedTuple):
    """What one frame held, each part in the order of the frame."""

    records: list[Record]
    controls: list[Control]
