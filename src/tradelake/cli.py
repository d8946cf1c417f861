"""``tradelake ...``: every verb of the product.

Exit codes: 0 done; 1 the work says no (a point unexplained, a backtest sweep failed); 2 wrong
arguments, settings or data; 130 and 143 interrupted. Whatever goes wrong is one line on standard
error.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, cast

import click

from tradelake import __version__
from tradelake.errors import ConfigError, TradelakeError

if TYPE_CHECKING:
    from tradelake.exchange.options import ExchangeOptions


class _Terminated(SystemExit):
    """SIGTERM came."""


class _Folder(click.Path):
    """A folder's path; the empty one is refused, which would mean the working directory."""

    name = "folder"

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self,
        value: object,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:  # noqa: ANN401 - click's own
        if not str(value).strip() or "\0" in str(value):
            self.fail("expected a folder, found an empty name", param, ctx)
        return super().convert(str(value), param, ctx)


class _Number(click.FloatRange):
    """A finite number in a range."""

    def convert(
        self,
        value: object,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:  # noqa: ANN401 - click's own
        number = super().convert(cast("float", value), param, ctx)
        if not math.isfinite(number):
            self.fail(f"expected a finite number, found {value}", param, ctx)
        return number


_FOLDER = _Folder()
_PORT = click.IntRange(0, 65535)
_POSITIVE = _Number(0, min_open=True)
_HOURS = _Number(0, 24 * 366, min_open=True)
_STATES = {
    "running": "its run goes on",
    "failed": "its run failed or was interrupted",
    "cut off": "its run was cut off",
}


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tradelake")
def cli() -> None:
    """Alpaca crypto market data on AWS: ingest without loss, lake, models, honest backtests."""


@cli.command()
@click.option("--data", type=_FOLDER, envvar="TRADELAKE_DATA", help="Folder of recorded Parquet.")
@click.option("--synthetic", is_flag=True, help="Use the synthetic market, whatever else there is.")
@click.option(
    "--root",
    type=_FOLDER,
    default=Path(".tradelake"),
    show_default=True,
    help="Folder of the embedded AWS; an earlier run in it is replaced.",
)
@click.option(
    "--seconds",
    type=_Number(1, 86_400),
    default=20.0,
    show_default=True,
    help="How long the playback lasts, about.",
)
@click.option(
    "--history-days",
    type=click.IntRange(20, 1000),
    default=120,
    show_default=True,
    help="Days of minute bars to train and test on.",
)
def demo(
    data: Path | None, *, synthetic: bool, root: Path, seconds: float, history_days: int
) -> None:
    """Do the main job on this machine: exchange, lake, model, backtests, report.

    Ends with one JSON line; exits 1 when a point is unexplained or double, or a sweep failed.
    """
    if data is not None and not synthetic:
        _check_recording(data, root)
    from tradelake.local.demo import DemoOptions, run_demo

    _forget_accounts()
    options = DemoOptions(
        root=root,
        data=data,
        synthetic=synthetic,
        playback_s=seconds,
        history_days=history_days,
        project_root=_project_root(),
    )
    sys.exit(run_demo(options))


@cli.command()
@click.option(
    "--root",
    type=_FOLDER,
    default=Path(".tradelake/up"),
    show_default=True,
    help="Folder of the embedded AWS; an earlier run in it is replaced.",
)
@click.option("--aws-port", type=_PORT, default=0, help="Port of the AWS endpoint; 0: a free one.")
@click.option("--kinesis-port", type=_PORT, default=0, help="Port of the streams; 0: a free one.")
@click.option("--data", type=_FOLDER, help="Also play this recording through the pipeline.")
@click.option("--synthetic", is_flag=True, help="Also play a synthetic market through it.")
def up(root: Path, *, aws_port: int, kinesis_port: int, data: Path | None, synthetic: bool) -> None:
    """Run the embedded AWS until Ctrl-C and say how to reach it."""
    if data is not None and synthetic:
        raise ConfigError("up: name a recording with --data or ask for --synthetic, not both")
    if data is not None:
        _check_recording(data, root)
    from tradelake.local.up import UpOptions, run_up

    _forget_accounts()
    run_up(
        UpOptions(
            root=root,
            project_root=_project_root(),
            aws_port=aws_port,
            kinesis_port=kinesis_port,
            data=data,
            synthetic=synthetic,
        )
    )


@cli.command()
@click.argument("query")
@click.option(
    "--root",
    type=_FOLDER,
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

    _forget_accounts()
    layout = Layout(root)
    state = layout.marked()
    if state is None:
        raise ConfigError(f"no lake at {root}: run `tradelake demo` or name another --root")
    if state != "complete":
        click.echo(f"note: {root} is not complete: {_STATES[state]}", err=True)
    if not query.isprintable() and any("\ud800" <= one <= "\udfff" for one in query):
        raise ConfigError("SQL: the query is not valid UTF-8")
    show(wire_lake_reader(layout.variables()).sql(query), form)


@cli.command()
@click.option("--data", type=_FOLDER, help="Folder of recorded Parquet to play.")
@click.option("--synthetic", is_flag=True, help="Play a synthetic market.")
@click.option("--symbols", default="", help="Only these, comma-separated; synthetic: or how many.")
@click.option("--seed", type=int, default=7, show_default=True, help="Synthetic: the seed.")
@click.option(
    "--hours", type=_HOURS, default=1.0, show_default=True, help="Synthetic: market time."
)
@click.option(
    "--activity",
    type=_POSITIVE,
    default=1.0,
    show_default=True,
    help="Synthetic: how often symbols trade; 1 is as thin as Alpaca's venue.",
)
@click.option("--sessions", default="", help="Recorded: sessions whose name contains one of these.")
@click.option("--speed", type=_POSITIVE, help="Market seconds per second.")
@click.option("--duration", type=_POSITIVE, help="Instead of --speed: seconds the playback lasts.")
@click.option(
    "--start",
    type=click.Choice(["told", "at_once", "subscribed"]),
    default="subscribed",
    show_default=True,
    help="When the playback begins.",
)
@click.option("--port", type=_PORT, default=0, help="Port to listen on; 0: a free one.")
@click.option("--key", default="demo-key", show_default=True, help="API key that is accepted.")
@click.option("--secret", default="demo-secret", show_default=True, help="Its secret.")
@click.option(
    "--rate-limit",
    type=click.IntRange(min=0),
    default=200,
    show_default=True,
    help="REST requests a minute; 0: no limit.",
)
def exchange(**given: Any) -> None:  # noqa: ANN401 - click passes options by name
    """Run an Alpaca-compatible exchange: market-data stream and historical REST."""
    from tradelake.exchange.service import run_exchange

    run_exchange(_exchange_options(**given))


def _exchange_options(
    *,
    data: Path | None,
    synthetic: bool,
    symbols: str,
    seed: int,
    hours: float,
    activity: float,
    sessions: str,
    speed: float | None,
    duration: float | None,
    rate_limit: int,
    **same: Any,  # noqa: ANN401 - options of equal name
) -> ExchangeOptions:
    from tradelake.exchange.options import ExchangeOptions, SyntheticOptions

    if synthetic == (data is not None):
        raise ConfigError("exchange: name a recording with --data, or ask for --synthetic")
    market = None
    if synthetic:
        chosen: int | tuple[str, ...] = 20
        if symbols:
            chosen = int(symbols) if symbols.isdigit() else _split(symbols)
        market = SyntheticOptions(seed=seed, symbols=chosen, hours=hours, activity=activity)
    return ExchangeOptions(
        data=data,
        synthetic=market,
        symbols=() if synthetic else _split(symbols),
        sessions=_split(sessions),
        speed=speed,
        duration_s=duration,
        rate_limit=rate_limit or None,
        **same,
    )


def _forget_accounts() -> None:
    """Drop what the shell says of AWS: no local command may reach, or stumble over, an account."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]


def _check_recording(data: Path, root: Path) -> None:
    """Refuse a recording that cannot be played before anything is started or replaced.

    Raises
    ------
    ConfigError
        It is missing, empty or malformed, or lies in the folder that the run replaces.
    """
    from tradelake.exchange.recorded import RecordedMarket

    if data.resolve().is_relative_to(root.resolve()):
        raise ConfigError(f"{data} lies in {root}, which is replaced; name another --root")
    RecordedMarket(data)


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _project_root() -> Path:
    """Return the checkout: functions and containers are its entry points, not part of the wheel.

    Raises
    ------
    ConfigError
        The package was installed without its checkout.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / "functions").is_dir():
        raise ConfigError("the embedded AWS runs from a checkout: functions/ was not found")
    return root


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; whatever goes wrong is one line and an exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    signal.signal(signal.SIGALRM, _end_again)
    sys.excepthook = _unexpected
    if sys.stdout is None:
        _fail("standard output is closed", 1)
    try:
        cli.main(args=list(sys.argv[1:] if arguments is None else arguments), standalone_mode=False)
    except _Terminated:
        _fail("ended by SIGTERM; nothing is left running", 143)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except (KeyboardInterrupt, click.exceptions.Abort):
        _fail("interrupted; nothing is left running", 130)
    except ConfigError as error:
        _fail(str(error), 2)
    except TradelakeError as error:
        _fail(str(error), 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        where = "" if error.filename is None else f": {error.filename}"
        _fail(f"{error.strerror or error}{where}", 1)


_ASKED: list[int] = []
"""Signals that asked this process to end; a signal's state belongs to the process anyway."""
_AGAIN_S = 3.0


def _end_again(_number: int, frame: FrameType | None) -> None:
    """Ask once more, unless blocks are being left: a library's callback may have lost the first."""
    while frame is not None:
        if frame.f_code.co_name in {"__exit__", "close"}:
            return
        frame = frame.f_back
    _raise_for(_ASKED[-1])


def _raise_for(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise _Terminated(143)


def _end(number: int, _frame: object) -> None:
    """End as an exception does: blocks are left in order, so nothing is left running."""
    _ASKED.append(number)
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
    _raise_for(number)


def _unexpected(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Say in one line what nobody foresaw; the traceback goes to a file that the line names."""
    if _ASKED:
        _leave()
    lines = traceback.format_exception(kind, error, trace)
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="tradelake-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.writelines(lines)
        where = f"traceback in {file.name}"
    except OSError:
        where = "no room to keep the traceback"
    said = " ".join(str(error).split())[:300]
    sys.stderr.write(f"tradelake: unexpected {kind.__name__}: {said} ({where})\n")


def _leave() -> NoReturn:
    """Say that a signal ended it and exit at once; every block was left before.

    A ``KeyboardInterrupt`` that passed through ``exec`` makes CPython die of SIGINT at its end,
    handled or not, so its end is not waited for.
    """
    if _ASKED[-1] == signal.SIGINT:
        message, code = "interrupted; nothing is left running", 130
    else:
        message, code = "ended by SIGTERM; nothing is left running", 143
    click.echo(f"tradelake: {message}", err=True)
    sys.stdout.flush()
    os._exit(code)


def _fail(message: str, code: int) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    if _ASKED:
        _leave()
    one_line = " ".join(message.split())
    click.echo(f"tradelake: {one_line}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
