"""What a run says when it ends: the account, where everything is, what to try next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from tradelake.local.layout import Layout
from tradelake.usecases.reconcile import Line

_COLUMNS: Final = (
    "sent",
    "stored",
    "quarantined",
    "duplicates",
    "unrecoverable",
    "unexplained",
    "doubled",
)
_MOST_LINES: Final = 36


def account_table(console: Console, lines: Sequence[Line]) -> None:
    """Print the account: a row a channel and symbol, or a row a channel when there are many.

    Rows that do not balance are always shown.
    """
    many = len(lines) > _MOST_LINES
    table = Table(title="Sent = stored + quarantined + duplicates + unrecoverable", box=None)
    table.add_column("channel")
    table.add_column("symbol")
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    by_channel: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        by_channel[line.channel].append(line)
    for channel, members in by_channel.items():
        if many:
            table.add_row(channel, f"{len(members)} symbols", *_sums(members))
        for line in members:
            if not many or not line.balanced:
                style = None if line.balanced else "bold red"
                table.add_row(channel, line.symbol, *_sums([line]), style=style)
    table.add_section()
    table.add_row("all", "", *_sums(lines), style="bold")
    console.print(table)


def _sums(lines: Sequence[Line]) -> list[str]:
    return [f"{sum(getattr(line, name) for line in lines):,}" for name in _COLUMNS]


def farewell(console: Console, layout: Layout, root: Path) -> None:
    """Print where everything is and what to try next."""
    option = "" if root == Path(".tradelake") else f" --root {root}"
    paths = {
        "report": layout.report,
        "lake": layout.warehouse,
        "streams": layout.streams,
        "hot store": layout.hot,
        "logs": layout.logs,
    }
    console.print("\nWhere everything is", style="bold")
    for name, path in paths.items():
        console.print(f"  {name:<10} {path}", markup=False, soft_wrap=True)
    console.print("\nTry next", style="bold")
    queries = (
        "SELECT symbol, count(*) FROM trades GROUP BY 1",
        "SELECT strategy, symbol, params, sharpe FROM trials ORDER BY sharpe DESC LIMIT 10",
    )
    for query in queries:
        console.print(f'  .venv/bin/tradelake sql{option} "{query}"', markup=False, soft_wrap=True)
    console.print("  .venv/bin/tradelake up --synthetic", markup=False)
    console.print("  make synth    # the same system as CloudFormation\n", markup=False)
