"""``tradelake gaps | backfill``: the gap ledger, and filling it by hand."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click
import msgspec

from tradelake.errors import ConfigError
from tradelake.topology import names

if TYPE_CHECKING:
    from tradelake.ports import Gap
    from tradelake.usecases.gap_report import GapLine

_ENVIRONMENT = click.option(
    "--environment",
    envvar=names.ENV_ENVIRONMENT,
    required=True,
    help="Name of the environment; `tradelake up` prints the variables of the embedded one.",
)
_GAP = click.option(
    "--gap",
    "opened",
    type=click.IntRange(min=0),
    multiple=True,
    metavar="OPENED_NS",
    help="Only gaps that opened then, as `tradelake gaps --json` says; may be repeated.",
)


@click.command()
@_ENVIRONMENT
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line instead of a table.")
def gaps(environment: str, *, as_json: bool) -> None:
    """List every interval in which data may be missing, and what was done about it.

    One line a gap and channel. `waiting` and `filling` are for the backfill; `filled`: all the
    venue has was fetched; `unrecoverable`: it keeps no history of the channel.
    """
    from tradelake.bootstrap import wire_gap_ledger
    from tradelake.usecases.gap_report import gap_lines

    lines = gap_lines(wire_gap_ledger(environment).gaps())
    if as_json:
        for line in lines:
            click.echo(msgspec.json.encode(line).decode())
        return
    _show(lines)


@click.command()
@_ENVIRONMENT
@_GAP
def backfill(environment: str, opened: tuple[int, ...]) -> None:
    """Fill the closed gaps of an environment over REST, once; the schedule does it every minute.

    Ends with one JSON line of what was done.
    """
    from tradelake.bootstrap import wire_backfill

    env = {**os.environ, names.ENV_ENVIRONMENT: environment}
    outcome = wire_backfill(env, _named(environment, opened))(None)
    click.echo(msgspec.json.encode(outcome).decode())


def _named(environment: str, opened: Sequence[int]) -> Callable[[Gap], bool] | None:
    """Return which gaps are meant; None: all.

    Raises
    ------
    ConfigError
        No gap opened at one of the times.
    """
    if not opened:
        return None
    from tradelake.bootstrap import wire_gap_ledger

    known = {gap.opened_ns for gap in wire_gap_ledger(environment).gaps()}
    absent = sorted(set(opened) - known)
    if absent:
        raise ConfigError(f"backfill: no gap of {environment} opened at {absent[0]}")
    return lambda gap: gap.opened_ns in opened


def _show(lines: Sequence[GapLine]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not lines:
        console.print("the gap ledger is empty")
        return
    table = Table(box=None)
    for name in ("opened", "lasted", "venue", "channel", "symbols", "status", "fetched", "cause"):
        table.add_column(name, justify="right" if name in ("lasted", "fetched") else "left")
    for line in lines:
        table.add_row(*map(Text, _cells(line)), style=None if line.done else "bold")
    console.print(table)


def _cells(line: GapLine) -> list[str]:
    from tradelake.feed.timestamps import rfc3339

    seconds = line.seconds
    return [
        rfc3339(line.opened_ns)[:23] + "Z",
        "open" if seconds is None else f"{seconds:,.1f} s",
        line.venue,
        line.channel,
        ",".join(line.symbols[:3]) + ("…" if len(line.symbols) > 3 else ""),
        line.status,
        f"{line.fetched:,}",
        line.cause,
    ]
