"""Addresses of the market-data streams: one a venue, so that venues are never mixed."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from tradelake.errors import ConfigError
from tradelake.market.venues import VENUES

_STREAMS: Final = "wss://stream.data.alpaca.markets/v1beta3/crypto"
_DOMAIN: Final = ".alpaca.markets"


def stream_url(venue: str) -> str:
    """Return the address of a venue's stream.

    Raises
    ------
    ConfigError
        Alpaca serves no such venue.

    >>> stream_url("us-1")
    'wss://stream.data.alpaca.markets/v1beta3/crypto/us-1'
    """
    if venue not in VENUES:
        raise ConfigError(f"expected a venue of {', '.join(VENUES)}; found {venue!r}")
    return f"{_STREAMS}/{venue}"


def check_location(url: str, venue: str) -> None:
    """Refuse an address that names another venue than the one its records would be filed under.

    Only Alpaca's own hosts are judged: what plays a recording may serve any venue's anywhere.

    Raises
    ------
    ConfigError
        The address is Alpaca's and its last part is not ``venue``.
    """
    address = urlsplit(url)
    location = address.path.rstrip("/").rpartition("/")[2]
    if (address.hostname or "").endswith(_DOMAIN) and location != venue:
        raise ConfigError(
            f"feed address {url}: it is the stream of venue {location}; expected that of {venue}"
        )
