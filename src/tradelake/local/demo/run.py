"""The main job on one machine: exchange, stream, lake, model, backtests, account, report."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from tradelake.adapters.system import SystemClock
from tradelake.bootstrap import (
    wire_gap_ledger,
    wire_history,
    wire_lake_reader,
    wire_lake_writer,
    wire_recorder,
)
from tradelake.errors import InsufficientData
from tradelake.lake.audit import LakeAuditor
from tradelake.lake.reader import LakeReader
from tradelake.local.board import Board
from tradelake.local.demo.closing import account_table, farewell
from tradelake.local.demo.outcome import Outcome
from tradelake.local.demo.report import build_report
from tradelake.local.demo.sources import Source, choose_source
from tradelake.local.demo.studies import Studies
from tradelake.local.exchange_client import ExchangeClient, HistoryRange
from tradelake.local.ingesting import IngesterHealth, Ingesting
from tradelake.local.layout import ENVIRONMENT, Layout
from tradelake.local.processes import Process
from tradelake.local.runtime import Runtime, RuntimeOptions
from tradelake.market.channels import HISTORY
from tradelake.market.symbols import base_asset
from tradelake.market.timeframes import timeframe_ns
from tradelake.topology import names
from tradelake.usecases.load_history import HistoryRequest, Loaded, load_history
from tradelake.usecases.reconcile import reconcile

START: Final = "Start the embedded AWS"
OPEN: Final = "Open the exchange"
STREAM: Final = "Stream the market"
DRAIN: Final = "Drain the pipeline"
LOAD: Final = "Load history over REST"
TRAIN: Final = "Train the model"
BACKTEST: Final = "Run the backtests"
RECONCILE: Final = "Account for every point"
REPORT: Final = "Write the report"
STAGES: Final = (START, OPEN, STREAM, DRAIN, LOAD, TRAIN, BACKTEST, RECONCILE, REPORT)

_DAY_NS: Final = timeframe_ns("1d")
_SYMBOLS_STUDIED: Final = 2
_PREFERRED: Final = ("BTC", "ETH")
"""Studied first among series of equal length."""
_LEAST_DAYS: Final = 20
_SHOWN_EVERY_S: Final = 0.5
_COMPILING_S: Final = 300.0
"""More than the core ever takes, after the stages that ran beside it."""
_PLAIN_WIDTH: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the demo is asked for; see ``tradelake demo --help``."""

    root: Path
    project_root: Path
    data: Path | None = None
    synthetic: bool = False
    playback_s: float = 20.0
    history_days: int = 120


def finish_compiling(
    runtime: Runtime, compiler: Process, board: Board, timeout_s: float = _COMPILING_S
) -> None:
    """Wait for the compiler; where it hangs or died, say so and let jobs compile for themselves."""
    failure = runtime.finish(compiler, timeout_s)
    if failure:
        board.note(f"{failure}; each job compiles the matching core for itself")


def run_demo(options: DemoOptions) -> int:
    """Run every stage; print the account, where everything is, and one JSON line last.

    Returns
    -------
    int
        0; 1 when a point is unexplained or double, or a backtest failed.

    Raises
    ------
    TradelakeError
        A stage could not do its work; nothing is left running.
    """
    began = time.monotonic()
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PLAIN_WIDTH)
    layout = Layout(options.root)
    outcome = Outcome()
    with layout.held(), Board(STAGES, console) as board:
        _Demo(options, layout, board, outcome).run()
    account_table(console, outcome.lines)
    farewell(console, layout, options.root)
    summary = _summary(outcome, layout, time.monotonic() - began)
    sys.stdout.write(json.dumps(summary) + "\n")
    sys.stdout.flush()
    return 0 if _good(outcome) else 1


def _good(outcome: Outcome) -> bool:
    study = outcome.study
    return all(line.balanced for line in outcome.lines) and study is not None and not study.failed


def _summary(outcome: Outcome, layout: Layout, seconds: float) -> dict[str, object]:
    lines = outcome.lines
    study = outcome.study
    return {
        "name": "demo",
        "source": outcome.source.kind if outcome.source else "",
        "points_sent": sum(line.sent for line in lines),
        "points_durable": outcome.durable,
        "rows": sum(line.stored for line in lines),
        "quarantined": sum(line.quarantined for line in lines),
        "duplicates": sum(line.duplicates for line in lines),
        "unrecoverable": sum(line.unrecoverable for line in lines),
        "missing": sum(abs(line.unexplained) for line in lines),
        "doubled": sum(line.doubled for line in lines),
        "backtests": study.count if study else 0,
        "failed": study.failed if study else 0,
        "seconds": round(seconds, 1),
        "report": str(layout.report),
    }


class _Demo:
    def __init__(
        self, options: DemoOptions, layout: Layout, board: Board, outcome: Outcome
    ) -> None:
        self._options = options
        self._layout = layout
        self._board = board
        self._outcome = outcome

    def run(self) -> None:
        runtime = Runtime(
            RuntimeOptions(
                layout=self._layout,
                project_root=self._options.project_root,
                # The recorded end of the market is the end of time: close every bar then.
                extra_variables={names.ENV_FINAL_WATERMARK: "true"},
            )
        )
        with self._board.stage(START) as stage:
            source = self._source()
            self._outcome.source = source
            runtime.__enter__()
            stage.detail = f"{len(runtime.provisioned.streams)} streams, {len(runtime.workers)} "
            stage.detail += "stream functions, emulator, lake"
        try:
            os.environ.update(runtime.variables)
            self._work(runtime, source)
        finally:
            runtime.__exit__(*sys.exc_info())

    def _source(self) -> Source:
        target = self._layout.root / "alpaca"
        return choose_source(
            self._options.data, wire_recorder(os.environ, target), synthetic=self._options.synthetic
        )

    def _work(self, runtime: Runtime, source: Source) -> None:
        with self._board.stage(OPEN) as stage:
            url = self._open_exchange(runtime, source)
            client = ExchangeClient(url)
            self._outcome.description = client.status().source
            stage.detail = f"{source.kind} ({source.why}): {self._outcome.description}"
            window = study_window(client.history(), self._options.history_days)
        self._stream(runtime, url)
        compiler = runtime.start_compiling()
        reader = wire_lake_reader(runtime.variables)
        self._load(runtime, url, window)
        studies = Studies(runtime, reader, window)
        with self._board.stage(TRAIN) as stage:
            model = studies.train(stage)
        with self._board.stage(BACKTEST) as stage:
            stage.detail = "compiling the matching core"
            finish_compiling(runtime, compiler, self._board)
            self._outcome.study = studies.sweep(model, stage)
        with self._board.stage(RECONCILE) as stage:
            runtime.check()
            self._reconcile(reader)
            stage.detail = self._verdict()
        with self._board.stage(REPORT) as stage:
            self._report(reader)
            stage.detail = str(self._layout.report)

    def _open_exchange(self, runtime: Runtime, source: Source) -> str:
        process = runtime.start(
            "exchange",
            [
                "-m",
                "tradelake.cli",
                "exchange",
                *source.exchange_arguments(),
                *("--start", "told", "--rate-limit", "0"),
                *("--duration", str(self._options.playback_s)),
                *(("--activity", "4", "--hours", "0.5") if source.data is None else ()),
            ],
        )
        return str(process.wait_ready(120.0)["url"])

    def _stream(self, runtime: Runtime, url: str) -> None:
        began = time.monotonic()
        with self._board.stage(STREAM) as stage:
            ingesting = Ingesting(runtime, url, {})
            ingesting.wait_subscribed()
            show = _throttled(lambda: self._show_flow(runtime, ingesting.health))

            def progress(status: object, health: IngesterHealth) -> None:
                stage.done = getattr(status, "progress", None)
                stage.detail = f"{getattr(status, 'total_sent', 0):,} points sent"
                self._board.flow["points sent"] = f"{getattr(status, 'total_sent', 0):,}"
                self._board.flow["durable"] = f"{health.durable:,}"
                show()

            ingesting.play(progress)
            final = ingesting.stop()
            self._outcome.health = ingesting.health
            self._outcome.stream_s = time.monotonic() - began
            self._outcome.sent = {
                (channel, symbol): count
                for channel, by_symbol in final.sent.items()
                for symbol, count in by_symbol.items()
            }
            stage.detail = f"{final.total_sent:,} points, {len(final.symbols)} symbols, receipt to "
            stage.detail += f"durable p99 {_ms(ingesting.health.latency_ms.get('p99'))}"
        with self._board.stage(DRAIN) as stage:
            runtime.drain(_throttled(lambda: self._show_flow(runtime, ingesting.health)))
            self._show_flow(runtime, ingesting.health)
            stage.detail = "validated, aggregated, delivered"

    def _show_flow(self, runtime: Runtime, health: IngesterHealth) -> None:
        self._board.flow["durable"] = f"{health.durable:,}"
        first = next(iter(runtime.workers))
        for name, status in runtime.status().items():
            label = f"batches: {name}" if name == first else name
            self._board.flow[label] = f"{status.records:,}"

    def _load(self, runtime: Runtime, url: str, window: HistoryRequest) -> None:
        days = (window.end_ns - window.start_ns) // _DAY_NS
        with self._board.stage(LOAD) as stage:
            expected = days * 1440 * len(window.symbols)

            def progress(loaded: Loaded) -> None:
                stage.done = min(1.0, (loaded.rows + loaded.duplicates) / expected)
                stage.detail = f"{loaded.rows:,} bars"

            history = wire_history(runtime.variables, url, window.venue)
            lake = wire_lake_writer(runtime.variables)
            began = time.monotonic()
            loaded = load_history(window, history, lake, SystemClock(), progress)
            self._outcome.history = loaded
            self._outcome.history_s = time.monotonic() - began
            stage.detail = f"{sum(loaded.served.values()):,} minute bars of "
            stage.detail += f"{', '.join(window.symbols)}, {days} days"

    def _reconcile(self, reader: LakeReader) -> None:
        # No gap is marked unrecoverable before it was tried to fill, which nothing does yet: a
        # point inside a gap is unexplained, and the verdict says how many gaps there are.
        served = self._outcome.history.served
        history = {(HISTORY, symbol): count for symbol, count in served.items()}
        self._outcome.lines = reconcile(
            {**self._outcome.sent, **history}, LakeAuditor(reader), unrecoverable={}
        )

    def _verdict(self) -> str:
        lines = self._outcome.lines
        wrong = sum(not line.balanced for line in lines)
        gaps = len(wire_gap_ledger(ENVIRONMENT).gaps())
        ledger = f"{gaps} gaps in the ledger" if gaps else "the gap ledger is empty"
        if wrong:
            return f"{wrong} of {len(lines)} accounts do not balance; {ledger}"
        return f"{len(lines)} accounts, every point explained, none double; {ledger}"

    def _report(self, reader: LakeReader) -> None:
        stages = {name: stage.seconds for name, stage in self._board.stages.items()}
        draft = self._layout.report.with_suffix(".html.new")
        draft.write_text(build_report(self._outcome, reader.facts(), stages), encoding="utf-8")
        draft.replace(self._layout.report)


def study_window(ranges: Mapping[str, HistoryRange], days: int) -> HistoryRequest:
    """Return which history to study: the symbols with most bars, over the days they share last.

    Raises
    ------
    InsufficientData
        No symbol has history, or they share less than 20 days.
    """
    if not ranges:
        raise InsufficientData("the exchange serves no minute bars to train and test on")
    chosen = sorted(ranges, key=lambda name: (-ranges[name].bars, _rank(name), name))
    chosen = chosen[:_SYMBOLS_STUDIED]
    end_ns = min(ranges[symbol].last_ns for symbol in chosen) + timeframe_ns("1m")
    first_ns = max(ranges[symbol].first_ns for symbol in chosen)
    start_ns = max(first_ns, end_ns - days * _DAY_NS)
    if end_ns - start_ns < _LEAST_DAYS * _DAY_NS:
        raise InsufficientData(
            f"{', '.join(chosen)} share {max(0, end_ns - start_ns) / _DAY_NS:.1f} days of minute "
            f"bars; the study needs {_LEAST_DAYS}"
        )
    return HistoryRequest(
        venue="us",
        symbols=tuple(sorted(chosen)),
        timeframe="1m",
        start_ns=start_ns,
        end_ns=end_ns,
    )


def _rank(symbol: str) -> int:
    base = base_asset(symbol)
    return _PREFERRED.index(base) if base in _PREFERRED else len(_PREFERRED)


def _throttled(action: Callable[[], None]) -> Callable[[], None]:
    last = 0.0

    def call() -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _SHOWN_EVERY_S:
            last = now
            action()

    return call


def _ms(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f} ms"
