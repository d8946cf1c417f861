"""Symbols and symbol buckets."""

from __future__ import annotations

import re
import zlib

from tradelake.errors import InvalidData

_PAIR = re.compile(r"[A-Z0-9]{1,16}/[A-Z0-9]{2,16}(-PERP)?")


def parse_symbol(text: str) -> str:
    """Return ``text`` when it is a pair ``BASE/QUOTE``, as market data and orders spell it.

    Positions spell ``BTCUSD``; data refuses that spelling, so this does too.

    Raises
    ------
    InvalidData
        Rule ``symbol``.

    >>> parse_symbol("BTC/USD")
    'BTC/USD'
    """
    if _PAIR.fullmatch(text) is None:
        raise InvalidData(
            "symbol", f"expected BASE/QUOTE in capitals, for instance BTC/USD; found {text!r}"
        )
    return text


def base_asset(symbol: str) -> str:
    """Asset that is bought: ``BTC`` of ``BTC/USD``."""
    return symbol.partition("/")[0]


def quote_asset(symbol: str) -> str:
    """Asset that pays: ``USD`` of ``BTC/USD``."""
    return symbol.partition("/")[2]


def bucket_of(symbol: str, buckets: int) -> int:
    """Bucket of a symbol, in ``range(buckets)``, the same on every machine and for ever.

    >>> bucket_of("BTC/USD", 16) == bucket_of("BTC/USD", 16)
    True
    """
    return zlib.crc32(symbol.encode()) % buckets
