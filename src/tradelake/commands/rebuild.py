"""``tradelake rebuild``: bars made anew from the lake, by hand."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import click
import msgspec

from tradelake.topology import names

_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]


@click.command()
@click.option(
    "--environment",
    envvar=names.ENV_ENVIRONMENT,
    required=True,
    help="Name of the environment; `tradelake up` prints the variables of the embedded one.",
)
@click.argument("symbol")
@click.argument("timeframe")
@click.option(
    "--from", "start", required=True, type=click.DateTime(_FORMATS), help="First instant, UTC."
)
@click.option(
    "--to", "end", required=True, type=click.DateTime(_FORMATS), help="The instant after it, UTC."
)
def rebuild(environment: str, symbol: str, timeframe: str, start: datetime, end: datetime) -> None:
    """Rebuild the bars of SYMBOL in TIMEFRAME from the lake and put them on the stream of bars.

    Time bars (1s to 1d) that overlap the interval; of event bars (tick:100, volume:0.5,
    dollar:100000) those of every UTC day it touches. Bars that are not over are left out. Ends with
    one JSON line.
    """
    from tradelake import bootstrap
    from tradelake.market.symbols import parse_symbol
    from tradelake.usecases import rebuild_bars

    if end <= start:
        raise click.BadParameter("expected an instant after --from", param_hint="--to")
    parts = bootstrap.wire_rebuild_parts({**os.environ, names.ENV_ENVIRONMENT: environment})
    bounds = (_ns(start), _ns(end))
    bars = rebuild_bars.rebuild(parts, parse_symbol(symbol), timeframe, *bounds)
    answer = {"symbol": symbol, "timeframe": timeframe, "bars": len(bars)}
    click.echo(msgspec.json.encode(answer).decode())


def _ns(instant: datetime) -> int:
    return int(instant.replace(tzinfo=UTC).timestamp()) * 1_000_000_000
