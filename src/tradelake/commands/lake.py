"""``tradelake sql``: questions to the lake."""

from __future__ import annotations

from pathlib import Path

import click

from tradelake.commands.options import FOLDER, forget_accounts
from tradelake.errors import ConfigError

_STATES = {
    "running": "its run goes on",
    "failed": "its run failed or was interrupted",
    "cut off": "its run was cut off",
}


@click.command()
@click.argument("query")
@click.option(
    "--root",
    type=FOLDER,
    default=Path(".tradelake"),
    show_default=True,
    help="Folder of the embedded AWS.",
)
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table")
def sql(query: str, root: Path, form: str) -> None:
    """Answer a SELECT over the lake: trades, quotes, books, bars, quarantine, trials."""
    from tradelake.bootstrap import wire_lake_reader
    from tradelake.local.layout import Layout
    from tradelake.local.tabular import show

    forget_accounts()
    layout = Layout(root)
    state = layout.marked()
    if state is None:
        raise ConfigError(f"no lake at {root}: run `tradelake demo` or name another --root")
    if state != "complete":
        click.echo(f"note: {root} is not complete: {_STATES[state]}", err=True)
    if not query.isprintable() and any("\ud800" <= one <= "\udfff" for one in query):
        raise ConfigError("SQL: the query is not valid UTF-8")
    show(wire_lake_reader(layout.variables()).sql(query), form)
