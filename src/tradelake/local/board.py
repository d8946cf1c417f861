"""What a long command shows while it works: stages with their time, and the flow as a live table.

On a terminal it is one block that is redrawn in place; elsewhere one line as each stage ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

_REFRESH_HZ: Final = 8


@dataclass(slots=True)
class Stage:
    """One stage; the worker changes ``detail``, ``done`` (0..1) and ``counts`` as it goes."""

    title: str
    state: str = "waiting"
    seconds: float = 0.0
    detail: str = ""
    done: float | None = None


class Board:
    """Shows stages; use it as a context manager.

    Parameters
    ----------
    titles : sequence of str
        Stages in the order they will run.
    console : Console
        Where to show them.
    clock : callable
        Seconds, never backwards.
    """

    def __init__(
        self,
        titles: tuple[str, ...],
        console: Console,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stages = {title: Stage(title) for title in titles}
        self.flow: dict[str, str] = {}
        self._console = console
        self._clock = clock
        self._began: dict[str, float] = {}
        self._spinner = Spinner("dots", style="cyan")
        self._lock = threading.Lock()
        self._live = Live(
            get_renderable=self._render,
            console=console,
            refresh_per_second=_REFRESH_HZ,
            auto_refresh=console.is_terminal,
            transient=False,
        )

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    @contextmanager
    def stage(self, title: str) -> Iterator[Stage]:
        """Run one stage: timed, marked done when the block ends, failed when it raises."""
        stage = self.stages[title]
        stage.state = "running"
        self._began[title] = self._clock()
        try:
            yield stage
        except BaseException:
            stage.state = "failed"
            raise
        else:
            stage.state = "done"
            stage.done = None
        finally:
            stage.seconds = self._clock() - self._began[title]
            if not self._console.is_terminal:
                mark = "ok    " if stage.state == "done" else "failed"
                self._console.print(
                    f"{mark} {stage.seconds:6.1f} s  {title}: {stage.detail}",
                    highlight=False,
                    markup=False,
                    soft_wrap=True,
                )

    def note(self, text: str) -> None:
        """Say something that stays to be read, above the block or among the lines."""
        self._console.print(f"note   {text}", highlight=False, markup=False, soft_wrap=True)

    def _render(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        table.add_column(width=2)
        table.add_column(no_wrap=True)
        table.add_column(justify="right", width=8)
        table.add_column(ratio=1, overflow="fold")
        for stage in self.stages.values():
            table.add_row(*self._row(stage))
        if not self.flow:
            return table
        flow = Table.grid(padding=(0, 3))
        flow.add_row(*(Text(name, style="dim") for name in self.flow))
        flow.add_row(*(Text(value, style="bold") for value in self.flow.values()))
        return Group(table, Text(""), flow)

    def _row(self, stage: Stage) -> tuple[RenderableType, ...]:
        marks: dict[str, RenderableType] = {
            "waiting": Text("·", style="dim"),
            "running": self._spinner,
            "done": Text("✓", style="green"),
            "failed": Text("✗", style="red"),
        }
        seconds = stage.seconds
        if stage.state == "running":
            seconds = self._clock() - self._began[stage.title]
        shown = "" if stage.state == "waiting" else f"{seconds:.1f} s"
        detail: RenderableType = Text(stage.detail)
        if stage.state == "running" and stage.done is not None:
            bar = ProgressBar(total=1.0, completed=stage.done, width=24)
            side = Table.grid(padding=(0, 1))
            side.add_row(bar, Text(f"{stage.done:4.0%}"), Text(stage.detail))
            detail = side
        style = "dim" if stage.state == "waiting" else ""
        return marks[stage.state], Text(stage.title, style=style), Text(shown, style="cyan"), detail
