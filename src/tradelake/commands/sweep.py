"""``tradelake sweep``: one strategy with every combination of a grid."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import click

from tradelake.commands.run_data import RunData
from tradelake.commands.runs import Asked, keep, run_options, strategy_of
from tradelake.commands.workers import MEASURES, Job, run_all
from tradelake.errors import ConfigError

_SHOWN: Final = 20


@click.command()
@run_options
@click.option(
    "--param", "params", multiple=True, metavar="NAME=VALUE", help="The same in all runs."
)
@click.option(
    "--grid",
    "grids",
    multiple=True,
    required=True,
    metavar="NAME=VALUES",
    help="first:last:step, both ends included, or values with commas; repeat it.",
)
@click.option(
    "--workers", type=click.IntRange(1), help="Runs at a time; by default one for each core."
)
def sweep(
    params: tuple[str, ...],
    grids: tuple[str, ...],
    workers: int | None,
    *,
    out: Path,
    no_save: bool,
    as_json: bool,
    **given: Any,  # noqa: ANN401 - options of a run, by name
) -> None:
    """Run STRATEGY with every combination of the grid, and rank them by Sharpe ratio.

    The best of many looks good by luck: the number of runs is part of what is saved. A combination
    that fails is listed with its error while the others go on, and the exit code is 1. Where no
    combination can be made at all, nothing runs and the exit code is 2.

    Runs that take long go to processes of their own, compiled strategies to threads.
    """
    from tradelake.adapters.disk.backtests import SavedBacktests
    from tradelake.adapters.system import SystemClock, code_version
    from tradelake.backtest.grid import combinations, named, value_of, values_of

    asked = Asked.of(given)
    source, kept = RunData(asked), SavedBacktests(out)
    fixed = {name: value_of(text) for name, text in named(params, "--param").items()}
    grid = {name: values_of(text) for name, text in named(grids, "--grid").items()}
    twice = sorted(set(fixed) & set(grid))
    if twice:
        raise ConfigError(f"--grid: {twice[0]} is given by --param too")
    chosen = [fixed | one for one in combinations(grid)]
    _check_one(asked.strategy, chosen)
    keywords = asked.keywords(code_version())
    data, findings = source.read()
    keywords |= {"screened": findings, "instruments": source.instruments(data)}
    if not no_save:
        kept.check()
    job = Job(asked.strategy, data, keywords)
    with _counted(len(chosen)) as bar:
        trials = run_all(job, chosen, workers, lambda: bar.update(1))
    trials.sort(key=lambda trial: -_order(trial["sharpe"]))
    failed = [trial for trial in trials if trial["error"]]
    summary = {
        "title": f"{asked.strategy} on {asked.symbols}: {len(trials)} runs",
        "runs": len(trials),
        "failed": len(failed),
        "grid": {name: list(values) for name, values in grid.items()},
        "parameters": fixed,
        "metrics": trials[0],
        "final_equity": trials[0]["final_equity"],
        "findings": [str(one) for one in findings or ()],
        "code_version": keywords["code_version"],
        "options": {name: str(value) for name, value in given.items()},
    }
    saved, lost = None, None
    if not no_save:
        now_ns = SystemClock().now_ns()
        saved, lost = keep(lambda: kept.save_sweep(summary, trials, now_ns), out)
    if as_json:
        click.echo(json.dumps({"id": saved, **summary, "trials": trials}, allow_nan=False))
    else:
        _show(trials, list(grid), out, saved)
    if lost is not None:
        raise lost
    if failed:
        first = failed[0]["error"]
        click.echo(f"tradelake: {len(failed)} of {len(trials)} runs failed: {first}", err=True)
        sys.exit(1)


def _check_one(strategy: str, chosen: Sequence[dict[str, Any]]) -> None:
    """Refuse a sweep of which no combination makes a strategy: nothing could run."""
    first: ConfigError | None = None
    for parameters in chosen:
        try:
            strategy_of(strategy, parameters)
        except ConfigError as error:
            first = first or error
        else:
            return
    if first is not None:
        raise first


def _order(value: float | None) -> float:
    return float("-inf") if value is None else value


class _Bar(Protocol):
    def update(self, n_steps: int) -> None: ...


class _Silent:
    def update(self, n_steps: int) -> None:
        """Say nothing."""


@contextmanager
def _counted(length: int) -> Iterator[_Bar]:
    """Count on a terminal's standard error; elsewhere say nothing."""
    if not sys.stderr.isatty():
        yield _Silent()
        return
    with click.progressbar(length=length, label="runs", file=sys.stderr) as bar:
        yield bar


def _show(trials: list[dict[str, Any]], names: list[str], out: Path, saved: str | None) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None)
    for name in (*names, *MEASURES, "error"):
        table.add_column(name.replace("_", " "), justify="left" if name == "error" else "right")
    for trial in trials[:_SHOWN]:
        cells = [str(trial[name]) for name in names]
        cells += ["–" if trial[name] is None else f"{trial[name]:,.4g}" for name in MEASURES]
        table.add_row(*map(Text, (*cells, trial["error"])))
    console = Console(highlight=False)
    console.print(table)
    if len(trials) > _SHOWN:
        console.print(f"... and {len(trials) - _SHOWN} more runs")
    if saved is not None:
        console.print(f"saved: {out / saved}", markup=False)
