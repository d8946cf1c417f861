"""What ``backtest`` and ``sweep`` share: options, data, strategies, costs."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from tradelake.commands.options import FOLDER, NOT_NEGATIVE, POSITIVE, split
from tradelake.errors import ConfigError, Fatal, InsufficientData, InvalidData
from tradelake.topology import names

if TYPE_CHECKING:
    from tradelake.backtest.screen import Finding, Screen
    from tradelake.execution.costs import Costs
    from tradelake.execution.instruments import InstrumentHistory
    from tradelake.market.arrays import BarArrays

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
        type=click.Choice(["auto", "1", "2"]),
        default="auto",
        show_default=True,
        help="How real fills are; auto takes the highest that the data carries.",
    ),
    click.option("--slippage-bps", type=NOT_NEGATIVE, default=5.0, show_default=True),
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
    root: Path | None
    broker: str
    rung: str
    slippage_bps: float
    spread_bps: float
    participation: float
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
        from tradelake.execution.costs import Costs, FixedSlippage, Participation, Spread

        return Costs(
            spread=Spread(self.spread_bps),
            slippage=FixedSlippage(self.slippage_bps),
            participation=Participation(self.participation),
        )

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

    def data(self) -> tuple[list[BarArrays], tuple[Finding, ...]]:
        """Return the bars of each symbol that may be used, and what was found in them.

        Raises
        ------
        ConfigError
            There are no such bars.
        InvalidData
            The screen refuses them.
        """
        self._check_timeframe()
        try:
            return self._data()
        except InsufficientData as error:
            raise ConfigError(f"--symbols, --start, --end: {error}") from error

    def _check_timeframe(self) -> None:
        from tradelake.market.timeframes import event_timeframe, timeframe_ns

        try:
            if self.timeframe is not None and event_timeframe(self.timeframe) is None:
                timeframe_ns(self.timeframe)
        except InvalidData as error:
            raise ConfigError(f"--timeframe: {error.reason}") from error

    def _data(self) -> tuple[list[BarArrays], tuple[Finding, ...]]:
        start_ns, end_ns = instant(self.start, "--start"), instant(self.end, "--end")
        if start_ns is not None and end_ns is not None and start_ns >= end_ns:
            raise ConfigError(f"--end: expected later than {self.start}; found {self.end}")
        if self.source == (LAKE,):
            from tradelake.backtest.screen import screen_all

            lake, timeframe = self._lake(), self.timeframe or "1m"
            found = [lake.bars(symbol, timeframe, start_ns, end_ns) for symbol in self.names]
            return screen_all(found, self.screen())
        if LAKE in self.source:
            raise ConfigError("--bars: expected the lake or files; found both")
        read = [self._from_files(symbol, start_ns, end_ns) for symbol in self.names]
        return [bars for bars, _ in read], tuple(one for _, found in read for one in found)

    def instruments(self) -> InstrumentHistory:
        """Return what the lake knows of the symbols by date; of bars of files nothing.

        Raises
        ------
        InvalidData
            A row of the lake's table is no record of an instrument.
        """
        from tradelake.execution.instruments import InstrumentHistory

        if self.source != (LAKE,):
            return InstrumentHistory()
        return InstrumentHistory.from_rows(self._lake().instruments(self.names).rows)

    def _lake(self) -> Any:  # noqa: ANN401 - the lake's reader, imported where it is used
        from tradelake.bootstrap import wire_lake_reader
        from tradelake.local.layout import DEFAULT_ROOT, Layout

        if self.root is None and names.ENV_CATALOG_URI in os.environ:
            return wire_lake_reader(os.environ)
        layout = Layout(self.root or DEFAULT_ROOT)
        if layout.marked() is None:
            raise ConfigError(
                f"no lake at {layout.root}: run `tradelake demo`, name another --root, or give"
                " --bars FILE.parquet"
            )
        return wire_lake_reader(layout.variables())

    def _from_files(
        self, symbol: str, start_ns: int | None, end_ns: int | None
    ) -> tuple[BarArrays, tuple[Finding, ...]]:
        from tradelake.adapters.disk.bars import read_columns, timeframe_of
        from tradelake.backtest.screen import screen_bars
        from tradelake.market.resample import resample
        from tradelake.market.timeframes import timeframe_ns

        paths = [Path(path) for path in self.source]
        columns = read_columns(paths, symbol, start_ns, end_ns)
        own = timeframe_of(columns["ts_ns"], f"{symbol} in {', '.join(self.source)}")
        bars, findings = screen_bars(symbol, own, columns, self.screen())
        wanted = self.timeframe or own
        if wanted == own:
            return bars, findings
        if timeframe_ns(wanted) < timeframe_ns(own):
            raise ConfigError(f"--timeframe: expected {own} or longer; found {wanted}")
        return resample(bars, wanted), findings


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
        There is none, or it does not take the parameters.
    """
    if ":" not in name:
        from tradelake.strategies.library import build

        return build(name, parameters)
    module, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    from tradelake.backtest.failure import rule_of, said

    try:
        kind = getattr(importlib.import_module(module), attribute, None)
    except BaseException as error:  # a module may do anything when it is imported
        rule_of(error)
        raise ConfigError(f"strategy {name}: cannot import {module}: {said(error)}") from error
    if not callable(kind):
        raise ConfigError(f"strategy {name}: expected a class or function; found {kind!r}")
    try:
        return kind(**parameters)
    except BaseException as error:
        rule_of(error)
        raise ConfigError(f"strategy {name}: {said(error)}") from error


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
