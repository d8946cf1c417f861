"""The messages the benchmarks decode: recorded ones where there are any, else a synthetic market's.

The recorded tapes are those :mod:`bench.venue` plays: trades, quotes, order-book updates and a bar
now and then of two symbols. Every one of our symbols has a part of its own of them, so that nothing
is said twice and compression finds no more than it would; the symbols take turns. Where more is
asked for than was recorded, later symbols begin again at the start.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Final

import msgspec

from bench.venue import tape
from tradelake.exchange.options import SyntheticOptions
from tradelake.exchange.publication import Lateness, publish
from tradelake.exchange.synthetic.market import SyntheticMarket
from tradelake.exchange.synthetic.universe import UNIVERSE
from tradelake.exchange.wire import MarketRecord, MsgpackCodec

SYMBOLS: Final = 120
RECORDED: Final = "recorded: Binance BTC/USDT and ETH/USDT, 2024-08-08, as Alpaca's messages"
SYNTHETIC: Final = "synthetic: no TRADELAKE_DATA"


def records(
    folder: Path | None, symbols: int = SYMBOLS, per_symbol: int = 500
) -> list[MarketRecord]:
    """Return ``symbols * per_symbol`` records."""
    if folder is None:
        options = SyntheticOptions(seed=7, symbols=20, hours=0.5, history_days=0)
        sessions = SyntheticMarket(options).sessions
        told = (one.record for session in sessions for one in publish(session, Lateness()))
        return list(itertools.islice(told, symbols * per_symbol))
    whole = math.ceil(symbols / 2) * per_symbol
    tapes = [tape(folder, recorded, whole) for recorded in ("BTC/USDT", "ETH/USDT")]
    names = UNIVERSE[:symbols]
    return [
        msgspec.structs.replace(told[(n // 2 * per_symbol + at) % len(told)], symbol=symbol)
        for at in range(per_symbol)
        for n, symbol in enumerate(names)
        for told in (tapes[n % 2],)
    ]


def frames(told: list[MarketRecord], per_frame: int) -> list[bytes]:
    """Return the records as Alpaca's MessagePack frames."""
    codec = MsgpackCodec()
    messages = [codec.encode(record) for record in told]
    return [codec.frame(messages[at : at + per_frame]) for at in range(0, len(messages), per_frame)]
