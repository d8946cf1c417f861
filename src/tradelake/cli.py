"""``tradelake ...``: every verb of the product.

Exit codes: 0 done; 1 the work says no (a point unexplained, a backtest sweep failed); 2 wrong
arguments, settings or data; 130 and 143 interrupted. Whatever goes wrong is one line on standard
error.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from types import TracebackType

import click

from tradelake import __version__
from tradelake.commands import signals
from tradelake.commands.backtest import backtest, backtests
from tradelake.commands.capacity import capacity
from tradelake.commands.exchange import exchange
from tradelake.commands.gaps import backfill, gaps
from tradelake.commands.lake import sql
from tradelake.commands.machine import demo, up
from tradelake.commands.quarantine import quarantine
from tradelake.commands.rebuild import rebuild
from tradelake.commands.sweep import sweep
from tradelake.commands.tap import tap
from tradelake.commands.transforms import transforms
from tradelake.errors import ConfigError, TradelakeError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tradelake")
def cli() -> None:
    """Alpaca crypto market data on AWS: ingest without loss, lake, models, honest backtests."""


for _verb in (
    backfill,
    backtest,
    backtests,
    capacity,
    demo,
    exchange,
    gaps,
    quarantine,
    rebuild,
    sql,
    sweep,
    tap,
    transforms,
    up,
):
    cli.add_command(_verb)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; whatever goes wrong is one line and an exit code."""
    signals.listen()
    sys.excepthook = _unexpected
    if sys.stdout is None:
        _fail("standard output is closed", 1)
    try:
        cli.main(args=list(sys.argv[1:] if arguments is None else arguments), standalone_mode=False)
    except signals.Terminated:
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


def _unexpected(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Say in one line what nobody foresaw; the traceback goes to a file that the line names."""
    if signals.ASKED:
        signals.leave()
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


def _fail(message: str, code: int) -> None:
    signals.settle()
    one_line = " ".join(message.split())
    click.echo(f"tradelake: {one_line}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
