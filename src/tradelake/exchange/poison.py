"""Messages no honest venue sends: a trade whose price is text, and one whose price is NaN."""

from __future__ import annotations

import math

import msgspec

from tradelake.exchange.publication import Message
from tradelake.exchange.wire import Rfc3339, timestamp_extension
from tradelake.market.channels import TRADES
from tradelake.market.records import Trade


def poisoned(like: Message) -> list[Message]:
    """Two bad trades of the symbol and time of a message, which is not changed.

    Both are :class:`~tradelake.market.records.Trade` with the price NaN; on the wire the first says
    ``"12,5"`` instead, which no decoder can take for a number.
    """
    symbol, ts = like.key[1], like.at_ns
    key = (TRADES, symbol)
    text = Message(ts, key, Trade(symbol, ts, 0, ts, math.nan, 1.0))
    body = {"T": "t", "S": symbol, "p": "12,5", "s": 1.0, "i": ts}
    text.packed = msgspec.msgpack.encode({**body, "t": timestamp_extension(ts)})
    text.json = msgspec.json.encode({**body, "t": Rfc3339()(ts)})
    return [text, Message(ts, key, Trade(symbol, ts, 0, ts + 1, math.nan, 1.0))]
