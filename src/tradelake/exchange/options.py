"""Options of the exchange."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal, get_args

from tradelake.errors import ConfigError
from tradelake.execution.layout import MOST_CASH
from tradelake.market.venues import VENUES

Start = Literal["told", "at_once", "subscribed"]
"""When the playback begins: at ``POST /_exchange/start``, at once, or at the first subscription."""

MatchingName = Literal["paper", "quotes", "books"]
"""How the paper account's orders are filled."""


@dataclass(frozen=True, kw_only=True)
class SyntheticOptions:
    """A seeded market.

    Parameters
    ----------
    seed : int
        The same seed gives the same market, to the last bit.
    symbols : int or tuple of str
        How many of the known pairs, by liquidity (1 to the size of the universe), or which.
    hours : float
        Market time to play.
    activity : float
        Scales how often symbols are quoted and traded; 1 is about as thin as Alpaca's venue.
    history_days : int
        Days of minute bars before the playback, for REST.
    start : str
        First instant of the playback, RFC 3339.
    depth : int
        Levels of the order book on each side.
    """

    seed: int = 7
    symbols: int | tuple[str, ...] = 20
    hours: float = 1.0
    activity: float = 1.0
    history_days: int = 200
    start: str = "2025-06-02T00:00:00Z"
    depth: int = 10

    def __post_init__(self) -> None:
        if self.hours <= 0 or self.activity <= 0:
            raise ConfigError(
                "synthetic market: expected positive hours and activity;"
                f" found {self.hours}, {self.activity}"
            )
        if self.history_days < 0 or self.depth < 1:
            raise ConfigError(
                "synthetic market: expected history_days >= 0 and depth >= 1;"
                f" found {self.history_days}, {self.depth}"
            )


@dataclass(frozen=True, kw_only=True)
class ExchangeOptions:
    """How the exchange is run. Exactly one of ``data`` and ``synthetic`` is given.

    Parameters
    ----------
    data : Path, optional
        Folder of recorded Parquet files.
    synthetic : SyntheticOptions, optional
        A market to make up.
    host, port : str, int
        Where to listen; port 0 takes a free one.
    key, secret : str
        The credentials that are accepted.
    symbols, sessions : tuple of str
        Recorded data: play only these symbols; only sessions whose name contains one of these.
    limit : int, optional
        Recorded data: ticks per session.
    history_pattern : str
        Recorded data: files REST serves bars from.
    start : {"told", "at_once", "subscribed"}
        When the playback begins.
    speed : float, optional
        Market seconds per second.
    duration_s : float, optional
        Instead of ``speed``: the whole playback lasts about so long. With neither, it goes as fast
        as the clients take it, and waits while there is none.
    frame_ms : float
        Messages of so much playback time share a frame.
    frame_messages : int
        At most so many messages share a frame.
    late_trade_fraction : float
        Share of trades published 5 to 20 s (market time) late.
    symbol_limit : int, optional
        Subscriptions a connection may have (405).
    connection_limit : int
        Connections per account and location (406).
    unclean_hold_s : float
        How long a connection that dropped without a closing handshake still counts.
    auth_timeout_s : float
        Time to authenticate in (404).
    slow_client_s : float, optional
        A client that takes nothing for so long is dropped with 407; by default it is waited for.
    entitled : tuple of str
        Locations the credentials may stream (else 409).
    rate_limit : int or None
        REST requests per minute; None switches the limit off.
    tape_limit : int
        Published records kept per channel and symbol for REST.
    journal : Path, optional
        File to write every published message to, and what became of it.
    live_s : float, optional
        Instead of ``speed``: the first session is played as if it happened now, for at least so
        long, and until the minute is full.
    skew_s : float
        With ``live_s``: how much the venue's clock is ahead of this machine's.
    cash, currency : Decimal, str
        What the paper account has at the start. It trades pairs quoted in its currency.
    matching : {"paper", "quotes", "books"}
        How its orders are filled; see :data:`tradelake.exchange.paper.matching.MATCHINGS`.
    """

    data: Path | None = None
    synthetic: SyntheticOptions | None = None
    host: str = "127.0.0.1"
    port: int = 0
    key: str = "demo-key"
    secret: str = "demo-secret"  # noqa: S105 -- a made-up venue's
    symbols: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    limit: int | None = None
    history_pattern: str = "bars_1m_*.parquet"
    start: Start = "told"
    speed: float | None = None
    duration_s: float | None = None
    frame_ms: float = 4.0
    frame_messages: int = 100
    late_trade_fraction: float = 0.0
    symbol_limit: int | None = None
    connection_limit: int = 1
    unclean_hold_s: float = 90.0
    auth_timeout_s: float = 10.0
    slow_client_s: float | None = None
    entitled: tuple[str, ...] = VENUES
    rate_limit: int | None = 200
    tape_limit: int = 200_000
    journal: Path | None = None
    live_s: float | None = None
    skew_s: float = 0.0
    cash: Decimal = Decimal(100_000)
    currency: str = "USD"
    matching: MatchingName = "paper"

    def __post_init__(self) -> None:
        if (self.data is None) == (self.synthetic is None):
            raise ConfigError("exchange: expected either recorded data or a synthetic market")
        if self.speed is not None and self.duration_s is not None:
            raise ConfigError("exchange: expected speed or duration_s, not both")
        if self.live_s is not None and (self.speed is not None or self.duration_s is not None):
            raise ConfigError("exchange: expected live_s, or speed or duration_s, not both")
        for name in ("speed", "duration_s", "slow_client_s", "live_s"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"exchange: expected {name} > 0; found {value}")
        if not 0 <= self.late_trade_fraction <= 1:
            raise ConfigError(
                "exchange: expected late_trade_fraction in [0, 1];"
                f" found {self.late_trade_fraction}"
            )
        if not (self.cash.is_finite() and 0 <= self.cash <= Decimal(MOST_CASH)):
            raise ConfigError(f"exchange: expected cash of 0 to {MOST_CASH:g}; found {self.cash}")
        if self.matching not in get_args(MatchingName):
            raise ConfigError(
                f"exchange: expected matching of {', '.join(get_args(MatchingName))}; "
                f"found {self.matching!r}"
            )
        if not 1 <= self.frame_messages < 1 << 16 or not 0 <= self.port < 1 << 16:
            raise ConfigError(
                "exchange: expected 1 <= frame_messages < 65536 and 0 <= port < 65536;"
                f" found {self.frame_messages}, {self.port}"
            )
