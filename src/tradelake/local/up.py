"""The embedded AWS as a service: runs until Ctrl-C and says how to reach it."""

from __future__ import annotations

import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tradelake.local.exchange_client import ExchangeClient
from tradelake.local.ingesting import Ingesting, check_port
from tradelake.local.layout import Layout
from tradelake.local.runtime import Runtime, RuntimeOptions
from tradelake.topology import names

_WATCH_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What ``tradelake up`` is asked for; at most one of ``data`` and ``synthetic``."""

    root: Path
    project_root: Path
    aws_port: int = 0
    kinesis_port: int = 0
    tap_port: int = 0
    data: Path | None = None
    synthetic: bool = False


def run_up(options: UpOptions) -> None:
    """Start everything, print the variables to reach it, and run until SIGINT or SIGTERM.

    Raises
    ------
    ConfigError
        A port is taken or the folder cannot be used.
    Transient
        A process of it ended.
    """
    layout = Layout(options.root)
    stop = threading.Event()
    console = Console(highlight=False)
    runtime_options = RuntimeOptions(
        layout=layout,
        project_root=options.project_root,
        aws_port=options.aws_port,
        kinesis_port=options.kinesis_port,
    )
    check_port(options.tap_port)
    with layout.held(), Runtime(runtime_options) as runtime:
        console.print("The embedded AWS is up. In another shell:", style="bold")
        for name, value in sorted(runtime.variables.items()):
            sys.stdout.write(f"export {name}={value}\n")
        if options.data is not None or options.synthetic:
            _play(runtime, options, console)
        console.print("Ctrl-C ends it.", style="dim")
        sys.stdout.flush()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda _number, _frame: stop.set())
        while not stop.wait(_WATCH_S):
            runtime.check()


def _play(runtime: Runtime, options: UpOptions, console: Console) -> None:
    source = ["--synthetic"] if options.data is None else ["--data", str(options.data.absolute())]
    process = runtime.start(
        "exchange", ["-m", "tradelake.cli", "exchange", *source, "--speed", "1", "--start", "told"]
    )
    url = str(process.wait_ready(120.0)["url"])
    runtime.configure({names.ENV_DATA_URL: url, names.ENV_TRADING_URL: url})
    runtime.start_schedules()
    ingesting = Ingesting(runtime, url, {names.ENV_HEALTH_PORT: str(options.tap_port)})
    ingesting.wait_subscribed()
    sys.stdout.write(f"export {names.ENV_TAP_URL}={ingesting.url}\n")
    exchange = ExchangeClient(url)
    exchange.start()
    console.print(f"The exchange plays {exchange.status().source} at {url}", markup=False)
    console.print(f"The ingester answers at {ingesting.url}/health and /tap", markup=False)
