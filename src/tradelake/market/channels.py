"""Alpaca's market-data channels, spelt as its protocol spells them."""

from __future__ import annotations

from typing import Final

TRADES: Final = "trades"
QUOTES: Final = "quotes"
ORDERBOOKS: Final = "orderbooks"
BARS: Final = "bars"
UPDATED_BARS: Final = "updatedBars"
DAILY_BARS: Final = "dailyBars"
CHANNELS: Final = (TRADES, QUOTES, ORDERBOOKS, BARS, UPDATED_BARS, DAILY_BARS)

HISTORY: Final = "history"
"""Channel name of bars loaded over REST rather than streamed."""
AGGREGATE: Final = "aggregate"
"""Channel name of bars we built from trades."""
SNAPSHOTS: Final = "snapshots"
"""Channel name of the best levels of books we built."""
INSTRUMENTS: Final = "instruments"
"""Channel name of what the venue says of its assets."""
DERIVED: Final = "derived"
"""Channel name of what users' transforms made."""
UNKNOWN: Final = "unknown"
"""Channel name of a message that could not be read."""
