"""``tradelake exchange``: a venue for one machine."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tradelake.commands.options import (
    FILE,
    FOLDER,
    HOURS,
    NOT_NEGATIVE,
    PORT,
    POSITIVE,
    SECONDS,
    split,
)
from tradelake.errors import ConfigError

if TYPE_CHECKING:
    from tradelake.exchange.options import ExchangeOptions


@click.command()
@click.option("--data", type=FOLDER, help="Folder of recorded Parquet to play.")
@click.option("--synthetic", is_flag=True, help="Play a synthetic market.")
@click.option("--symbols", default="", help="Only these, comma-separated; synthetic: or how many.")
@click.option("--seed", type=int, default=7, show_default=True, help="Synthetic: the seed.")
@click.option("--hours", type=HOURS, default=1.0, show_default=True, help="Synthetic: market time.")
@click.option(
    "--activity",
    type=POSITIVE,
    default=1.0,
    show_default=True,
    help="Synthetic: how often symbols trade; 1 is as thin as Alpaca's venue.",
)
@click.option("--sessions", default="", help="Recorded: sessions whose name contains one of these.")
@click.option("--speed", type=POSITIVE, help="Market seconds per second.")
@click.option("--duration", type=POSITIVE, help="Instead of --speed: seconds the playback lasts.")
@click.option(
    "--start",
    type=click.Choice(["told", "at_once", "subscribed"]),
    default="subscribed",
    show_default=True,
    help="When the playback begins.",
)
@click.option("--port", type=PORT, default=0, help="Port to listen on; 0: a free one.")
@click.option("--key", default="demo-key", show_default=True, help="API key that is accepted.")
@click.option("--secret", default="demo-secret", show_default=True, help="Its secret.")
@click.option(
    "--rate-limit",
    type=click.IntRange(min=0),
    default=200,
    show_default=True,
    help="REST requests a minute; 0: no limit.",
)
@click.option("--journal", type=FILE, help="File to write every published message to.")
@click.option(
    "--live",
    type=POSITIVE,
    help="Play the first session as if it happened now, for so many seconds and a full minute.",
)
@click.option(
    "--skew",
    type=SECONDS,
    default=0.0,
    show_default=True,
    help="With --live: seconds the venue's clock is ahead.",
)
@click.option(
    "--unclean-hold",
    type=NOT_NEGATIVE,
    default=90.0,
    show_default=True,
    help="Seconds a connection that broke still counts (406).",
)
@click.option(
    "--connection-limit",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Connections an account may have to a venue (406).",
)
@click.option(
    "--cash",
    type=NOT_NEGATIVE,
    default=100_000.0,
    show_default=True,
    help="What the paper account has at the start.",
)
@click.option("--currency", default="USD", show_default=True, help="What its cash is counted in.")
@click.option(
    "--matching",
    type=click.Choice(["paper", "quotes", "books"]),
    default="paper",
    show_default=True,
    help="How its orders fill: as Alpaca's paper venue does it, or as quotes or books allow.",
)
def exchange(**given: Any) -> None:  # noqa: ANN401 - click passes options by name
    """Run an Alpaca-compatible exchange: market data, history, and a paper account to trade in."""
    from tradelake.exchange.service import run_exchange

    run_exchange(_exchange_options(**given))


def _exchange_options(
    *,
    data: Path | None,
    synthetic: bool,
    symbols: str,
    seed: int,
    hours: float,
    activity: float,
    sessions: str,
    speed: float | None,
    duration: float | None,
    rate_limit: int,
    live: float | None,
    skew: float,
    unclean_hold: float,
    cash: float,
    **same: Any,  # noqa: ANN401 - options of equal name
) -> ExchangeOptions:
    from tradelake.exchange.options import ExchangeOptions, SyntheticOptions

    if synthetic == (data is not None):
        raise ConfigError("exchange: name a recording with --data, or ask for --synthetic")
    market = None
    if synthetic:
        chosen: int | tuple[str, ...] = 20
        if symbols:
            chosen = int(symbols) if symbols.isdigit() else split(symbols)
        market = SyntheticOptions(seed=seed, symbols=chosen, hours=hours, activity=activity)
    return ExchangeOptions(
        data=data,
        synthetic=market,
        symbols=() if synthetic else split(symbols),
        sessions=split(sessions),
        speed=speed,
        duration_s=duration,
        rate_limit=rate_limit or None,
        live_s=live,
        skew_s=skew,
        unclean_hold_s=unclean_hold,
        cash=Decimal(repr(cash)),
        **same,
    )
