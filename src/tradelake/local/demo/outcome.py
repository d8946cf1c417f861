"""What the stages of a demo found."""

from __future__ import annotations

from dataclasses import dataclass, field

from tradelake.local.demo.sources import Source
from tradelake.local.demo.studies import Study
from tradelake.local.ingesting import IngesterHealth
from tradelake.usecases.load_history import Loaded
from tradelake.usecases.reconcile import Line


@dataclass(slots=True)
class Outcome:
    """What the stages found, gathered for the account, the report and the last line."""

    source: Source | None = None
    description: str = ""
    sent: dict[tuple[str, str], int] = field(default_factory=dict)
    health: IngesterHealth = field(default_factory=IngesterHealth)
    stream_s: float = 0.0
    history: Loaded = field(default_factory=Loaded)
    history_s: float = 0.0
    study: Study | None = None
    lines: list[Line] = field(default_factory=list)

    @property
    def durable(self) -> int:
        """Points acknowledged by the stream, or committed to the lake by the history load."""
        loaded = self.history
        return self.health.durable + loaded.rows + loaded.quarantined
