"""Venues by Alpaca's location codes. Never mix venues in one series."""

from __future__ import annotations

from typing import Final

ALPACA_US: Final = "us"
KRAKEN_US: Final = "us-1"
KRAKEN_EU: Final = "eu-1"
VENUES: Final = (ALPACA_US, KRAKEN_US, KRAKEN_EU)
