"""What makes two data the same datum, for what the venue published and for what the lake holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from tradelake.errors import InvalidData
from tradelake.exchange.journal import Kind, Outcome, Publication
from tradelake.feed.decode import bar_revision
from tradelake.lake.rows import content_hash
from tradelake.market.channels import ORDERBOOKS, QUOTES, TRADES
from tradelake.market.records import Bar, BookUpdate, Quote, Trade
from tradelake.stream.envelope import decode_record

Identity = tuple[object, ...]
"""(channel, symbol, time, ...): what the topology calls a table's identity, without the venue."""


class Numbering:
    """Numbers equal quotes, or equal book updates, of one instant: 0, 1, ..."""

    def __init__(self) -> None:
        self._seen: Counter[Identity] = Counter()

    def identity(self, record: Trade | Quote | BookUpdate | Bar, scope: int = 0) -> Identity:
        """Return a record's identity; each scope counts for itself."""
        match record:
            case Trade():
                return trade_identity(record.symbol, record.ts_event, record.trade_id)
            case Bar():
                return bar_identity(record)
            case Quote():
                plain = quote_identity(record)
            case BookUpdate():
                plain = (ORDERBOOKS, record.symbol, record.ts_event, content_hash(record))
        key = (scope, *plain)
        occurrence = self._seen[key]
        self._seen[key] += 1
        return (*plain, occurrence)


def trade_identity(symbol: str, ts_event: int, trade_id: int) -> Identity:
    """Return the identity of a trade."""
    return (TRADES, symbol, ts_event, trade_id)


def quote_identity(quote: Quote) -> Identity:
    """Return what a quote shares with its equals of one instant."""
    return (
        QUOTES,
        quote.symbol,
        quote.ts_event,
        quote.bid,
        quote.bid_size,
        quote.ask,
        quote.ask_size,
    )


def bar_identity(bar: Bar) -> Identity:
    """Return the identity of a venue's bar; its revision follows from its content."""
    revision = bar_revision(
        bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap, bar.trades
    )
    return (bar.channel, bar.symbol, bar.timeframe, bar.ts_event, revision)


def identified(publications: Iterable[Publication]) -> Iterator[tuple[Identity, Publication]]:
    """Yield every publication with its identity, in order.

    The market's messages are numbered as they were published; a standing book as the client counts
    that was sent it, because the same book may have been a message of the market before.
    """
    published, told = Numbering(), Numbering()
    for one in publications:
        if one.kind is Kind.STANDING:
            yield told.identity(one.record, one.writes[0][0] if one.writes else 0), one
            continue
        yield published.identity(one.record), one
        if isinstance(one.record, BookUpdate):
            for connection, outcome in one.writes:
                if outcome is Outcome.DELIVERED:
                    told.identity(one.record, connection)


def quarantined_identity(raw: bytes) -> Identity | None:
    """Return the identity of what a quarantined row holds; None where that cannot be said.

    A message that could not be read is known by symbol and trade id alone: its time is -1.
    """
    try:
        record = decode_record(raw)
    except InvalidData:
        return _wire_identity(raw)
    if isinstance(record, Trade | Quote | BookUpdate | Bar):
        if isinstance(record, Quote | BookUpdate):
            return (*Numbering().identity(record)[:-1], record.occurrence)
        return Numbering().identity(record)
    return _wire_identity(getattr(record, "raw", b""))


def _wire_identity(raw: bytes) -> Identity | None:
    for decode in (msgspec.msgpack.decode, msgspec.json.decode):
        try:
            message = decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if isinstance(message, dict) and message.get("T") == "t" and "i" in message:
            return trade_identity(str(message.get("S")), -1, int(message["i"]))
    return None
