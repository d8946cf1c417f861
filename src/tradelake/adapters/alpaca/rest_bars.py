"""A bar as Alpaca's REST API writes it."""

from __future__ import annotations

import msgspec

from tradelake.feed.decode import bar_revision
from tradelake.feed.messages import Int64
from tradelake.market.records import Bar
from tradelake.market.timeframes import timeframe_ns


class RestBar(msgspec.Struct, gc=False):
    """Keys and types of the protocol; ``t`` is RFC 3339 text."""

    t: str
    o: float
    h: float
    l: float  # noqa: E741 - the protocol's key
    c: float
    v: float
    n: Int64
    vw: float

    def record(self, symbol: str, ts_event: int, now_ns: int, timeframe: str, channel: str) -> Bar:
        """Return our record of it; one whose time is not over at ``now_ns`` is partial."""
        unfinished = now_ns < ts_event + timeframe_ns(timeframe)
        return Bar(
            symbol,
            ts_event,
            now_ns,
            self.o,
            self.h,
            self.l,
            self.c,
            self.v,
            self.vw,
            self.n,
            timeframe,
            "alpaca",
            channel,
            bar_revision(self.o, self.h, self.l, self.c, self.v, self.vw, self.n),
            "partial" if unfinished else "complete",
        )
