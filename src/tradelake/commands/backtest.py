"""``tradelake backtest | backtests``: one run of a strategy, and the results that were saved."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tradelake.commands.options import FOLDER
from tradelake.commands.run_data import RunData
from tradelake.commands.runs import SAVED, Asked, keep, measures_table, run_options, strategy_of

if TYPE_CHECKING:
    from tradelake.backtest.outcome import Backtest


@click.command()
@run_options
@click.option(
    "--param", "params", multiple=True, metavar="NAME=VALUE", help="Of the strategy; repeat it."
)
def backtest(
    params: tuple[str, ...],
    *,
    out: Path,
    no_save: bool,
    as_json: bool,
    **given: Any,  # noqa: ANN401 - options of a run, by name
) -> None:
    """Run STRATEGY, of the library or as module:NAME, over bars or ticks of the lake or of files.

    NAME is a class, or a function that returns a strategy of any style; it is called with the
    parameters. Increments, halts and renames are those of the lake's table instruments; of data of
    files none are known.

    Prints what it left, how real its fills are, and what was wrong with the data; saves orders,
    fills, trades, equity, report and manifest.
    """
    from tradelake.adapters.disk.backtests import SavedBacktests, summary_of
    from tradelake.adapters.system import SystemClock, code_version
    from tradelake.backtest.grid import named, value_of
    from tradelake.backtest.session import run

    asked = Asked.of(given)
    source, kept = RunData(asked), SavedBacktests(out)
    values = {name: value_of(text) for name, text in named(params, "--param").items()}
    chosen = strategy_of(asked.strategy, values)
    keywords = asked.keywords(code_version())
    with _progress("reading data") as say:
        data, findings = source.read()
        if not no_save:
            kept.check()
        say(f"{chosen.name} over {sum(map(len, data)):,} {'ticks' if asked.ticks else 'bars'}")
        known = source.instruments(data)
        result = run(data, chosen, screened=findings, instruments=known, **keywords)
    saved, lost = None, None
    if not no_save:
        saved, lost = keep(lambda: kept.save(result, SystemClock().now_ns()), out)
    if as_json:
        click.echo(json.dumps({"id": saved, **summary_of(result)}, default=str, allow_nan=False))
    else:
        _show(result)
        if saved is not None:
            click.echo(f"saved: {out / saved}")
    if lost is not None:
        raise lost


@click.group(invoke_without_command=True)
@click.option(
    "--out", type=FOLDER, default=SAVED, show_default=True, help="Folder of saved results."
)
@click.pass_context
def backtests(context: click.Context, out: Path) -> None:
    """List saved results, newest last, or show one."""
    context.obj = out
    if context.invoked_subcommand is None:
        context.invoke(listed)


@backtests.command("list")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line instead of a table.")
@click.pass_obj
def listed(out: Path, *, as_json: bool = False) -> None:
    """List saved results."""
    from tradelake.adapters.disk.backtests import SavedBacktests

    kept = SavedBacktests(out)
    rows = [kept.summary(name) for name in kept.names()]
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
        return
    if not rows:
        click.echo(f"no results in {out}")
        return
    _list(rows)


@backtests.command("show")
@click.argument("name", metavar="ID")
@click.pass_obj
def show(out: Path, name: str) -> None:
    """Show all that was saved of a result; the beginning or end of its id is enough."""
    from tradelake.adapters.disk.backtests import SavedBacktests

    click.echo(json.dumps(SavedBacktests(out).summary(name), indent=2))


def _show(result: Backtest) -> None:
    from tradelake.backtest.page import metric_texts

    rows = [
        ("start", f"{result.cash:,.2f} {result.currency}"),
        ("end", f"{float(result.equity_values[-1]):,.2f} {result.currency}"),
        *metric_texts(result),
        ("orders", f"{len(result.books.orders):,}"),
        ("fills", f"{len(result.books.fills):,}"),
    ]
    rows += [(f"fees in {asset}", f"{fee:,.8g}") for asset, fee in result.fees.items()]
    rows += [(f"rejected: {reason}", f"{count:,}") for reason, count in result.rejects.items()]
    measures_table(result.title, rows)
    click.echo(result.realism)
    for finding in result.findings:
        click.echo(f"data: {finding}")


def _list(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None)
    for heading in ("id", "kind", "what", "final equity", "sharpe", "max drawdown"):
        left = heading in ("id", "kind", "what")
        table.add_column(heading, justify="left" if left else "right", no_wrap=heading == "id")
    for row in rows:
        metrics = row.get("metrics") or {}
        sharpe, fall = metrics.get("sharpe"), metrics.get("max_drawdown")
        final = row.get("final_equity")
        table.add_row(
            *map(Text, (row["id"], row["kind"], row["title"])),
            "" if final is None else f"{final:,.2f}",
            "" if sharpe is None else f"{sharpe:.2f}",
            "" if fall is None else f"{100 * fall:.2f} %",
        )
    Console(highlight=False).print(table)


@contextmanager
def _progress(text: str) -> Iterator[Callable[[str], None]]:
    """Say on a terminal's standard error what is being done; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield _silent
        return
    from rich.console import Console

    with Console(stderr=True).status(text) as status:
        yield status.update


def _silent(_text: str) -> None:
    pass
