"""What runs by the clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tradelake.topology import functions


@dataclass(frozen=True, slots=True)
class Schedule:
    """An EventBridge schedule that invokes a function; whoever is still at it is not disturbed.

    Parameters
    ----------
    name : str
        Logical name.
    function : functions.Function
        What is invoked.
    every_s : int
        How often, in whole minutes: EventBridge knows no shorter rate.
    doc : str
        What for.
    """

    name: str
    function: functions.Function
    every_s: int
    doc: str

    @property
    def expression(self) -> str:
        """As EventBridge spells it.

        >>> SCHEDULES[0].expression
        'rate(1 minute)'
        """
        minutes = self.every_s // 60
        return f"rate({minutes} minute{'' if minutes == 1 else 's'})"


BACKFILL: Final = Schedule(
    "backfill", functions.BACKFILL, 60, "fill the gaps of the ledger whose history has settled"
)

REBUILD: Final = Schedule(
    "rebuild-bars",
    functions.REBUILD,
    60,
    "rebuild the bars of filled gaps; look for minutes in which the venue counts more than we",
)

SCHEDULES: Final = (BACKFILL, REBUILD)
