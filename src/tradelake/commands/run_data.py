"""What ``backtest`` and ``sweep`` run on: bars or ticks, of the lake or of files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tradelake.commands.runs import LAKE, Asked, instant
from tradelake.errors import ConfigError, InsufficientData, InvalidData
from tradelake.topology import names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tradelake.backtest.screen import Finding
    from tradelake.execution.instruments import InstrumentHistory
    from tradelake.market.arrays import BarArrays
    from tradelake.market.tape import TickArrays


@dataclass(frozen=True, slots=True)
class RunData:
    """The data that the options of a run ask for.

    Raises
    ------
    ConfigError
        The options do not go together.
    """

    asked: Asked

    def __post_init__(self) -> None:
        asked = self.asked
        for option, given in (("--bars", asked.source), ("--ticks", asked.ticks)):
            if LAKE in given and given != (LAKE,):
                raise ConfigError(f"{option}: expected the lake or files; found both")
        if not asked.ticks:
            if asked.rung in ("3", "4"):
                raise ConfigError(f"--rung: rung {asked.rung} needs --ticks")
            return
        if asked.source != (LAKE,):
            raise ConfigError("--ticks: expected bars or ticks; found both")
        if asked.timeframe is not None:
            raise ConfigError("--timeframe: ticks have none")
        if asked.screens:
            raise ConfigError("--screen: is of bars; of ticks say --bad-ticks")
        if asked.rung in ("1", "2"):
            raise ConfigError(f"--rung: rung {asked.rung} needs bars, not ticks")

    def read(self) -> tuple[list[BarArrays] | list[TickArrays], tuple[Finding, ...] | None]:
        """Return the data of each symbol, and what was found in its bars; of ticks the run tells.

        Raises
        ------
        ConfigError
            There are no such data.
        InvalidData
            They are refused.
        """
        asked = self.asked
        start_ns, end_ns = instant(asked.start, "--start"), instant(asked.end, "--end")
        if start_ns is not None and end_ns is not None and start_ns >= end_ns:
            raise ConfigError(f"--end: expected later than {asked.start}; found {asked.end}")
        try:
            if asked.ticks:
                found = [self._ticks(symbol, start_ns, end_ns) for symbol in asked.names]
                return [one for of_symbol in found for one in of_symbol], None
            self._check_timeframe()
            return self._bars(start_ns, end_ns)
        except InsufficientData as error:
            raise ConfigError(f"--symbols, --start, --end: {error}") from error

    def instruments(self, data: Sequence[BarArrays] | Sequence[TickArrays]) -> InstrumentHistory:
        """Return what the lake knows of the symbols of some data by date; of files nothing.

        Raises
        ------
        InvalidData
            A row of the lake's table is no record of an instrument, and not after all data.
        """
        from tradelake.bootstrap import wire_lake_reader
        from tradelake.execution.instruments import InstrumentHistory

        if (self.asked.ticks or self.asked.source) != (LAKE,):
            return InstrumentHistory()
        lake = wire_lake_reader(self._environment())
        rows = lake.instruments(self.asked.names).rows
        ends = [_end_ns(one) for one in data if len(one)]
        return InstrumentHistory.from_rows(rows, until_ns=max(ends) + 1 if ends else None)

    def _check_timeframe(self) -> None:
        from tradelake.market.timeframes import event_timeframe, timeframe_ns

        timeframe = self.asked.timeframe
        try:
            if timeframe is not None and event_timeframe(timeframe) is None:
                timeframe_ns(timeframe)
        except InvalidData as error:
            raise ConfigError(f"--timeframe: {error.reason}") from error

    def _ticks(self, symbol: str, start_ns: int | None, end_ns: int | None) -> list[TickArrays]:
        from tradelake.adapters.disk.ticks import read_ticks

        bad: Any = self.asked.bad_ticks
        books = self.asked.rung != "3"
        if self.asked.ticks == (LAKE,):
            from tradelake.bootstrap import wire_lake_columns

            lake = wire_lake_columns(self._environment())
            return lake.ticks(symbol, start_ns, end_ns, books=books, bad=bad)
        paths = [Path(path) for path in self.asked.ticks]
        return read_ticks(paths, symbol, start_ns, end_ns, books=books, bad=bad)

    def _bars(
        self, start_ns: int | None, end_ns: int | None
    ) -> tuple[list[BarArrays], tuple[Finding, ...]]:
        asked = self.asked
        if asked.source == (LAKE,):
            from tradelake.backtest.screen import screen_all
            from tradelake.bootstrap import wire_lake_reader

            lake, timeframe = wire_lake_reader(self._environment()), asked.timeframe or "1m"
            found = [lake.bars(symbol, timeframe, start_ns, end_ns) for symbol in asked.names]
            return screen_all(found, asked.screen())
        read = [self._bars_of_files(symbol, start_ns, end_ns) for symbol in asked.names]
        return [bars for bars, _ in read], tuple(one for _, found in read for one in found)

    def _bars_of_files(
        self, symbol: str, start_ns: int | None, end_ns: int | None
    ) -> tuple[BarArrays, tuple[Finding, ...]]:
        from tradelake.adapters.disk.bars import read_columns, timeframe_of
        from tradelake.backtest.screen import screen_bars
        from tradelake.market.resample import resample
        from tradelake.market.timeframes import timeframe_ns

        asked = self.asked
        paths = [Path(path) for path in asked.source]
        columns = read_columns(paths, symbol, start_ns, end_ns)
        own = timeframe_of(columns["ts_ns"], f"{symbol} in {', '.join(asked.source)}")
        bars, findings = screen_bars(symbol, own, columns, asked.screen())
        wanted = asked.timeframe or own
        if wanted == own:
            return bars, findings
        if timeframe_ns(wanted) < timeframe_ns(own):
            raise ConfigError(f"--timeframe: expected {own} or longer; found {wanted}")
        return resample(bars, wanted), findings

    def _environment(self) -> Mapping[str, str]:
        """Return the variables that name the lake.

        Raises
        ------
        ConfigError
            There is none where the options look.
        """
        from tradelake.local.layout import DEFAULT_ROOT, Layout

        if self.asked.root is None and names.ENV_CATALOG_URI in os.environ:
            return os.environ
        layout = Layout(self.asked.root or DEFAULT_ROOT)
        if layout.marked() is None:
            raise ConfigError(
                f"no lake at {layout.root}: run `tradelake demo`, name another --root, or give"
                " --bars FILE.parquet or --ticks FILE.parquet"
            )
        return layout.variables()


def _end_ns(data: BarArrays | TickArrays) -> int:
    """Return when the last bar closes, or the last tick was, ns since 1970 UTC."""
    from tradelake.market.arrays import BarArrays

    return data.end_ns if isinstance(data, BarArrays) else int(data.ts_ns[-1])
