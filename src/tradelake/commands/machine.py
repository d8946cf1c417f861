"""``tradelake demo | up``: the whole of it on this machine."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tradelake.commands.options import (
    FOLDER,
    PORT,
    Number,
    check_recording,
    forget_accounts,
    project_root,
)
from tradelake.errors import ConfigError


@click.command()
@click.option("--data", type=FOLDER, envvar="TRADELAKE_DATA", help="Folder of recorded Parquet.")
@click.option("--synthetic", is_flag=True, help="Use the synthetic market, whatever else there is.")
@click.option(
    "--root",
    type=FOLDER,
    default=Path(".tradelake"),
    show_default=True,
    help="Folder of the embedded AWS; an earlier run in it is replaced.",
)
@click.option(
    "--seconds",
    type=Number(1, 86_400),
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
        check_recording(data, root)
    from tradelake.local.demo import DemoOptions, run_demo

    forget_accounts()
    options = DemoOptions(
        root=root,
        data=data,
        synthetic=synthetic,
        playback_s=seconds,
        history_days=history_days,
        project_root=project_root(),
    )
    sys.exit(run_demo(options))


@click.command()
@click.option(
    "--root",
    type=FOLDER,
    default=Path(".tradelake/up"),
    show_default=True,
    help="Folder of the embedded AWS; an earlier run in it is replaced.",
)
@click.option("--aws-port", type=PORT, default=0, help="Port of the AWS endpoint; 0: a free one.")
@click.option("--kinesis-port", type=PORT, default=0, help="Port of the streams; 0: a free one.")
@click.option(
    "--tap-port", type=PORT, default=0, help="Port of the ingester's health and tap; 0: a free one."
)
@click.option("--data", type=FOLDER, help="Also play this recording through the pipeline.")
@click.option("--synthetic", is_flag=True, help="Also play a synthetic market through it.")
def up(
    root: Path,
    *,
    aws_port: int,
    kinesis_port: int,
    tap_port: int,
    data: Path | None,
    synthetic: bool,
) -> None:
    """Run the embedded AWS until Ctrl-C and say how to reach it."""
    if data is not None and synthetic:
        raise ConfigError("up: name a recording with --data or ask for --synthetic, not both")
    if data is not None:
        check_recording(data, root)
    from tradelake.local.up import UpOptions, run_up

    forget_accounts()
    run_up(
        UpOptions(
            root=root,
            project_root=project_root(),
            aws_port=aws_port,
            kinesis_port=kinesis_port,
            tap_port=tap_port,
            data=data,
            synthetic=synthetic,
        )
    )
