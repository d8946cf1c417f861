"""What ``backtest`` and ``sweep`` share: options, strategies, costs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from tradelake.commands.options import FOLDER, NOT_NEGATIVE, POSITIVE, split
from tradelake.errors import ConfigError, Fatal

if TYPE_CHECKING:
    from tradelake.backtest.screen import Screen
    from tradelake.execution.costs import Costs

Command = TypeVar("Command", bound=Callable[..., object])

SAVED: Final = Path(".tradelake/backtests")
LAKE: Final = "lake"

_OPTIONS: Final = (
    click.argument("strategy"),
    click.option("--symbols", required=True, help="Pairs, with commas: BTC/USD,ETH/USD."),
    click.option("--start", help="First open, ISO date or time, UTC."),
    click.option("--end", help="Opens before it, ISO date or time, UTC."),
    click.option(
        "--timeframe", help="Timeframe of the bars; 1m of a lake, of a file its own, by default."
    ),
    click.option(
        "--bars",
        "source",
        multiple=True,
        default=(LAKE,),
        show_default=True,
        help="`lake`, or a Parquet file of bars; may be repeated.",
    ),
    click.option(
        "--ticks",
        multiple=True,
        help="Instead of bars trades, quotes and books: `lake`, or a Parquet file of some of them;"
        " may be repeated. Rungs 3 and 4.",
    ),
    click.option(
        "--bad-ticks",
        type=click.Choice(["refuse", "mask", "flag"]),
        default="mask",
        show_default=True,
        help="What becomes of ticks that are not as they should be; what was found is told.",
    ),
    click.option(
        "--root",
        type=FOLDER,
        help="Folder of the embedded AWS; by default the lake that the variables name, else"
        " .tradelake.",
    ),
    click.option(
        "--broker", default="alpaca", show_default=True, help="alpaca, ideal or module:NAME."
    ),
    click.option(
        "--rung",
        type=click.Choice(["auto", "1", "2", "3", "4"]),
        default="auto",
        show_default=True,
        help="How real fills are; auto takes the highest that the data carries.",
    ),
    click.option(
        "--slippage-bps",
        type=NOT_NEGATIVE,
        help="What takers pay; by default 5 on bars, 0 on ticks, which have their own spread.",
    ),
    click.option(
        "--spread-bps", type=NOT_NEGATIVE, default=0.0, show_default=True, help="Whole spread."
    ),
    click.option(
        "--participation",
        type=NOT_NEGATIVE,
        default=0.1,
        show_default=True,
        help="Most of a bar's volume that fills take; 0: all they want. Rung 2.",
    ),
    click.option(
        "--impact",
        type=NOT_NEGATIVE,
        default=0.0,
        show_default=True,
        help="Coefficient of the square-root impact, about 1 wherever it was measured; 0: none.",
    ),
    click.option(
        "--latency-ms",
        metavar="FEED,ENTRY,RESPONSE",
        default="0",
        show_default=True,
        help="Until data, orders and answers are where they go; one number for all three.",
    ),
    click.option(
        "--partial-fills",
        type=click.FloatRange(0.0, 1.0),
        default=0.0,
        show_default=True,
        help="Share of fills that are cut at random, 0.1 at Alpaca's paper venue.",
    ),
    click.option("--cash", type=POSITIVE, default=100_000.0, show_default=True),
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True),
    click.option(
        "--screen",
        "screens",
        multiple=True,
        metavar="RULE=ACTION",
        help="gaps, duplicates, zero_volume or ranges = refuse, mask or flag.",
    ),
    click.option(
        "--max-seconds", type=POSITIVE, default=3600.0, show_default=True, help="Of one run."
    ),
    click.option("--max-orders", type=click.IntRange(1), default=1_000_000, show_default=True),
    click.option(
        "--out", type=FOLDER, default=SAVED, show_default=True, help="Folder of saved results."
    ),
    click.option("--no-save", is_flag=True, help="Keep nothing."),
    click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables."),
)


def run_options(command: Command) -> Command:
    """Give a command the options of a run, in the order in which help shows them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options of a run as they were given."""

    strategy: str
    symbols: str
    start: str | None
    end: str | None
    timeframe: str | None
    source: tuple[str, ...]
    ticks: tuple[str, ...]
    bad_ticks: str
    root: Path | None
    broker: str
    rung: str
    slippage_bps: float | None
    spread_bps: float
    participation: float
    impact: float
    latency_ms: str
    partial_fills: float
    cash: float
    seed: int
    screens: tuple[str, ...]
    max_seconds: float
    max_orders: int

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Asked:
        """Return the options of a run among those of a command."""
        return cls(**{field.name: given[field.name] for field in fields(cls)})

    @property
    def names(self) -> tuple[str, ...]:
        """The symbols, each once.

        Raises
        ------
        ConfigError
            None, or one twice.
        """
        found = split(self.symbols)
        if not found or len(set(found)) != len(found):
            raise ConfigError(f"--symbols: expected pairs, each once; found {self.symbols!r}")
        return found

    def keywords(self, code_version: str) -> dict[str, Any]:
        """Return what :func:`tradelake.backtest.session.run` takes by keyword."""
        from tradelake.backtest.limits import Limits

        return {
            "broker": self.broker,
            "costs": self._costs(),
            "rung": "auto" if self.rung == "auto" else int(self.rung),
            "cash": self.cash,
            "seed": self.seed,
            "limits": Limits(self.max_seconds, self.max_orders),
            "code_version": code_version,
        }

    def _costs(self) -> Costs:
        from tradelake.execution.costs import (
            Costs,
            FixedSlippage,
            Latencies,
            Latency,
            PartialFills,
            Participation,
            Spread,
            SquareRootImpact,
        )

        feed, entry, response = map(Latency.constant, self._latencies())
        return Costs(
            spread=Spread(self.spread_bps),
            slippage=None if self.slippage_bps is None else FixedSlippage(self.slippage_bps),
            impact=SquareRootImpact(self.impact) if self.impact > 0.0 else None,
            latency=Latencies(feed, entry, response),
            participation=Participation(self.participation),
            partial_fills=PartialFills(self.partial_fills),
        )

    def _latencies(self) -> list[float]:
        try:
            found = [float(text) for text in self.latency_ms.split(",")]
        except ValueError:
            found = []
        if len(found) not in (1, 3):
            raise ConfigError(
                "--latency-ms: expected one number, or three with commas; "
                f"found {self.latency_ms!r}"
            )
        return found * 3 if len(found) == 1 else found

    def screen(self) -> Screen:
        """Return what is done about data that is not as it should be.

        Raises
        ------
        ConfigError
            An unknown rule or action.
        """
        from tradelake.backtest.grid import named
        from tradelake.backtest.screen import Screen

        chosen = named(self.screens, "--screen")
        known = [field.name for field in fields(Screen)]
        for rule in chosen:
            if rule not in known:
                raise ConfigError(f"--screen: expected one of {', '.join(known)}; found {rule!r}")
        return Screen(**chosen)  # type: ignore[arg-type] # checked there


def instant(text: str | None, option: str) -> int | None:
    """Return an ISO date or time as ns since 1970 UTC; without a zone it is UTC.

    Raises
    ------
    ConfigError
        It is none.
    """
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{option}: expected an ISO date or time, for instance 2024-01-31; found {text!r}"
        ) from None
    aware = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    if not 1970 <= at.year < 2262:
        raise ConfigError(f"{option}: expected a year from 1970 to 2261; found {text!r}")
    return int(aware.timestamp()) * 1_000_000_000


def strategy_of(name: str, parameters: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any style
    """Return a strategy of the library, or what ``module:NAME`` makes of the parameters.

    Raises
    ------
    ConfigError
        There is none, it does not take the parameters, or what is made is no strategy: it has no
        name, no parameters, or nothing that a run would call.
    """
    if ":" not in name:
        from tradelake.strategies.library import build

        return build(name, parameters)
    module, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    from tradelake.backtest.failure import rule_of, said
    from tradelake.backtest.setting import identity_of

    try:
        kind = getattr(importlib.import_module(module), attribute, None)
    except BaseException as error:  # a module may do anything when it is imported
        rule_of(error)
        raise ConfigError(f"strategy {name}: cannot import {module}: {said(error)}") from error
    if not callable(kind):
        raise ConfigError(f"strategy {name}: expected a class or function; found {kind!r}")
    try:
        made = kind(**parameters)
    except BaseException as error:
        rule_of(error)
        raise ConfigError(f"strategy {name}: {said(error)}") from error
    identity_of(made)
    return made


def keep(save: Callable[[], str], out: Path) -> tuple[str | None, Fatal | None]:
    """Return the id of what was saved, or why it was not: to be told after what the work gave."""
    try:
        return save(), None
    except OSError as error:
        return None, Fatal(f"nothing was saved in {out}: {error.strerror or error}")


def measures_table(title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Print names and values."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in rows:
        table.add_row(Text(name), Text(value))
    console = Console(highlight=False)
    console.print(title, markup=False, style="bold")
    console.print(table)
