"""``tradelake capacity``: what a load needs and costs."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from tradelake.decoding import json_decoder
from tradelake.errors import ConfigError
from tradelake.topology.streams import BUCKETS


@click.command()
@click.argument("points_per_second", type=click.FloatRange(min=0, min_open=True))
@click.option("--symbols", type=click.IntRange(1), default=120, show_default=True)
@click.option("--buckets", type=click.IntRange(1), default=BUCKETS, show_default=True)
@click.option(
    "--retain-days",
    type=click.IntRange(1),
    default=365,
    show_default=True,
    help="How long the lake keeps ticks.",
)
@click.option(
    "--aggregate-window-s",
    type=click.FloatRange(0, 300),
    default=0.0,
    show_default=True,
    help="What if aggregate had a batching window? Bars come later, state costs less.",
)
@click.option(
    "--figures",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON of your own measured figures, as `python -m bench.stages --out` writes them.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the page.")
def capacity(
    points_per_second: float,
    symbols: int,
    buckets: int,
    retain_days: int,
    aggregate_window_s: float,
    figures: Path | None,
    as_json: bool,
) -> None:
    """Say what POINTS_PER_SECOND need on AWS and cost in a month, with the arithmetic."""
    from rich.console import Console
    from rich.table import Table

    from tradelake.usecases.capacity import MEASURED, Load, Measured, plan

    measured = MEASURED
    if figures is not None:
        try:
            measured = json_decoder(Measured).decode(figures.read_bytes())
        except msgspec.DecodeError as error:
            raise ConfigError(f"{figures}: {error}") from error
    load = Load(
        points_s=points_per_second,
        symbols=symbols,
        buckets=buckets,
        retain_days=retain_days,
        window_s=aggregate_window_s,
    )
    found = plan(load, measured)
    if as_json:
        document = {**msgspec.to_builtins(found), "usd_month": round(found.usd, 2)}
        sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
        return
    table = Table(title=f"{points_per_second:,.0f} points/s, {symbols} symbols, a month")
    for name, justify in (("need", "left"), ("count", "right"), ("USD", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("arithmetic", overflow="fold")
    for line in found.lines:
        table.add_row(line.what, f"{line.count:,.1f}", f"{line.usd:,.2f}", line.arithmetic)
    table.add_row("all of it", "", f"{found.usd:,.2f}", "list prices assumed, without support")
    console = Console(highlight=False)
    console.print(table)
    for warning in found.warnings:
        console.print(f"note: {warning}", markup=False)
