"""Frames of the market-data socket -> records and control messages.

The decoder never raises on what the venue sends: a message it cannot read becomes an
``Unreadable`` with its raw bytes while its neighbours survive, and a frame it cannot read becomes
one ``Unreadable``.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec.msgpack import Ext

from tradelake.decoding import json_decoder, msgpack_decoder
from tradelake.errors import InvalidData
from tradelake.feed.messages import (
    Control,
    Decoded,
    WireBar,
    WireBook,
    WireDailyBar,
    WireMessage,
    WireQuote,
    WireTrade,
    WireUpdatedBar,
)
from tradelake.feed.occurrence import Occurrences
from tradelake.feed.timestamps import (
    NANOS_END,
    SECOND_NS,
    TIMESTAMP_64,
    TimeReader,
    UnpackError,
    unpack_time,
)
from tradelake.market import channels
from tradelake.market.records import (
    Bar,
    BookUpdate,
    Level,
    Quote,
    Record,
    TakerSide,
    Trade,
    Unreadable,
)
from tradelake.market.timeframes import timeframe_ns

MINUTE: Final = "1m"
DAY: Final = "1d"
_DAY_NS: Final = timeframe_ns(DAY)
_SIDES: Final[dict[str, TakerSide]] = {"B": "buy", "S": "sell", "": ""}
_CHANNEL_OF_TAG: Final = {
    "t": channels.TRADES,
    "q": channels.QUOTES,
    "o": channels.ORDERBOOKS,
    "b": channels.BARS,
    "u": channels.UPDATED_BARS,
    "d": channels.DAILY_BARS,
}
_BAR_CONTENT: Final = struct.Struct("<6dq").pack
_REVISION: Final = struct.Struct("<q").unpack
_BLANK_HASH: Final = hashlib.blake2b(digest_size=8)
"""Copied for every bar, never fed: a copy costs half of a new one."""
_UNDECODABLE: Final = (ValueError, RecursionError, OverflowError, MemoryError)
"""What msgspec raises on bytes it cannot read; its own errors are ValueErrors."""


TimeOf = Callable[[msgspec.Raw], int]


class _Head(msgspec.Struct):
    T: Any = None
    S: Any = None


class _Codec:
    """One encoding's decoders: whole frames, frames cut into messages, messages, their parts."""

    def __init__(self, decoder: Callable[[Any], Any], times: Callable[[Any], TimeOf]) -> None:
        self.frame: Callable[[bytes | str], list[WireMessage]] = decoder(list[WireMessage]).decode
        self.cut: Callable[[bytes | str], list[msgspec.Raw]] = decoder(list[msgspec.Raw]).decode
        self.message: Callable[[msgspec.Raw], WireMessage] = decoder(WireMessage).decode
        self.head: Callable[[msgspec.Raw], _Head] = decoder(_Head).decode
        self.ns = times(decoder(Ext | str).decode)


class FrameDecoder:
    """Decodes the frames of ONE connection; occurrences are counted from its start."""

    def __init__(self) -> None:
        times = TimeReader()
        self._text = _Codec(json_decoder, times.of_text)
        self._binary = _Codec(msgpack_decoder, times.of_msgpack)
        self._quotes: Occurrences[Quote] = Occurrences()
        self._books: Occurrences[BookUpdate] = Occurrences()

    def decode(self, frame: bytes | str, ts_ingest: int) -> Decoded:
        """Return the records and control messages of a frame. Never raises on its content.

        Parameters
        ----------
        frame : bytes or str
            A binary frame (MessagePack) or a text frame (JSON).
        ts_ingest : int
            When the frame was received, ns since 1970 UTC.
        """
        if isinstance(frame, str):
            return self._decode_apart(self._text, frame, ts_ingest)
        codec, latest = self._binary, self._quotes.latest
        try:
            messages = codec.frame(frame)
        except _UNDECODABLE:
            return self._decode_apart(codec, frame, ts_ingest)
        decoded = Decoded([], [])
        append = decoded.records.append
        for index, message in enumerate(messages):
            try:
                # quotes and trades are most of what comes: calls are spared for them
                if type(message) is WireQuote or type(message) is WireTrade:
                    m, symbol = message, message.S
                    try:
                        head, high, seconds = unpack_time(m.t)
                    except UnpackError:
                        head = high = seconds = 0
                    if head == TIMESTAMP_64 and high < NANOS_END and not high & 3:
                        ts_event = seconds * SECOND_NS + (high >> 2)
                    else:
                        ts_event = codec.ns(m.t)
                    if type(m) is WireQuote:
                        quote = Quote(symbol, ts_event, ts_ingest, m.bp, m.bs, m.ap, m.as_)
                        before = latest.get(symbol)
                        if before is None or before.ts_event == ts_event:
                            quote = self._quotes.numbered(quote)
                        else:
                            latest[symbol] = quote
                        append(quote)
                    elif type(m) is WireTrade:
                        append(Trade(symbol, ts_event, ts_ingest, m.i, m.p, m.s, _SIDES[m.tks]))
                elif type(message) is WireBook:
                    append(self._book(message, codec.ns(message.t), ts_ingest))
                else:
                    self._append(decoded, codec, message, ts_ingest)
            except InvalidData as error:
                append(_unreadable(codec, codec.cut(frame)[index], ts_ingest, str(error)))
        return decoded

    def _decode_apart(self, codec: _Codec, frame: bytes | str, ts_ingest: int) -> Decoded:
        decoded = Decoded([], [])
        try:
            raws = codec.cut(frame)
        except _UNDECODABLE as error:
            raw_frame = frame.encode("utf-8", "surrogatepass") if isinstance(frame, str) else frame
            reason = f"expected an array of messages: {error}"
            decoded.records.append(Unreadable("", ts_ingest, channels.UNKNOWN, reason, raw_frame))
            return decoded
        for raw in raws:
            try:
                self._append(decoded, codec, codec.message(raw), ts_ingest)
            except (*_UNDECODABLE, InvalidData) as error:
                decoded.records.append(_unreadable(codec, raw, ts_ingest, str(error)))
        return decoded

    def _append(
        self, decoded: Decoded, codec: _Codec, message: WireMessage, ts_ingest: int
    ) -> None:
        record: Record
        match message:
            case WireQuote() as m:
                record = self._quotes.numbered(
                    Quote(m.S, codec.ns(m.t), ts_ingest, m.bp, m.bs, m.ap, m.as_)
                )
            case WireTrade() as m:
                side = _SIDES[m.tks]
                record = Trade(m.S, codec.ns(m.t), ts_ingest, m.i, m.p, m.s, side)
            case WireBook():
                record = self._book(message, codec.ns(message.t), ts_ingest)
            case WireBar() as m:
                record = _bar(m, codec.ns(m.t), ts_ingest)
            case _:
                control: Control = message
                decoded.controls.append(control)
                return
        decoded.records.append(record)

    def _book(self, message: WireBook, ts_event: int, ts_ingest: int) -> BookUpdate:
        bids: list[Level] = [(level.p, level.s) for level in message.b or ()]
        asks: list[Level] = [(level.p, level.s) for level in message.a or ()]
        update = BookUpdate(message.S, ts_event, ts_ingest, bids, asks, message.r)
        return self._books.numbered(update)


def bar_revision(
    open_: float, high: float, low: float, close: float, volume: float, vwap: float, trades: int
) -> int:
    """Return a venue's bar's revision: a hash of its content, stable, as signed 64 bits."""
    content = _BLANK_HASH.copy()
    content.update(_BAR_CONTENT(open_, high, low, close, volume, vwap, trades))
    revision: int = _REVISION(content.digest())[0]
    return revision


def _bar(message: WireBar, ts_event: int, ts_ingest: int) -> Bar:
    channel, timeframe = channels.BARS, MINUTE
    if isinstance(message, WireUpdatedBar):
        channel = channels.UPDATED_BARS
    elif isinstance(message, WireDailyBar):
        channel, timeframe = channels.DAILY_BARS, DAY
    unfinished = timeframe is DAY and ts_ingest < ts_event + _DAY_NS
    m = message
    return Bar(
        m.S,
        ts_event,
        ts_ingest,
        m.o,
        m.h,
        m.l,
        m.c,
        m.v,
        m.vw,
        m.n,
        timeframe,
        "alpaca",
        channel,
        bar_revision(m.o, m.h, m.l, m.c, m.v, m.vw, m.n),
        "partial" if unfinished else "complete",
    )


def _unreadable(codec: _Codec, raw: msgspec.Raw, ts_ingest: int, reason: str) -> Unreadable:
    try:
        head = codec.head(raw)
    except _UNDECODABLE:
        head = _Head()
    symbol = head.S if isinstance(head.S, str) else ""
    tag = head.T if isinstance(head.T, str) else ""
    channel = _CHANNEL_OF_TAG.get(tag, channels.UNKNOWN)
    return Unreadable(symbol, ts_ingest, channel, reason, bytes(raw))
