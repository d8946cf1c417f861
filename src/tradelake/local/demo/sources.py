"""Where a run's market data come from: a recording, Alpaca's history, or a made-up market."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tradelake.errors import ConfigError, TradelakeError

Kind = Literal["recorded", "alpaca", "synthetic"]


@dataclass(frozen=True, slots=True)
class Source:
    """A chosen source; ``data`` is the folder of recorded Parquet, None for a synthetic market."""

    kind: Kind
    data: Path | None
    why: str

    def exchange_arguments(self) -> list[str]:
        """Arguments of ``tradelake exchange`` that play it."""
        return ["--data", str(self.data)] if self.data is not None else ["--synthetic"]


def choose_source(
    given: Path | None, fetch_alpaca: Callable[[], Path | None], *, synthetic: bool = False
) -> Source:
    """Return the recording that was named, else Alpaca's history if reachable, else synthetic.

    Parameters
    ----------
    given : Path or None
        Folder of recorded data.
    fetch_alpaca : callable
        Records Alpaca's recent history into a folder; None when Alpaca cannot be reached. What it
        raises of this package's errors is why the market is made up instead.
    synthetic : bool
        Ask for the synthetic market outright.

    Raises
    ------
    ConfigError
        The folder that was named does not exist: nothing else is taken in its place.
    """
    if synthetic:
        return Source("synthetic", None, "asked for")
    if given is not None:
        if not given.is_dir():
            raise ConfigError(f"recorded data: expected a folder, found nothing at {given}")
        return Source("recorded", given.absolute(), "named by --data or TRADELAKE_DATA")
    try:
        recorded = fetch_alpaca()
    except TradelakeError as error:
        return Source("synthetic", None, f"no recorded data named, no recording of Alpaca: {error}")
    if recorded is not None:
        return Source("alpaca", recorded.absolute(), "Alpaca's history was reachable")
    return Source("synthetic", None, "no recorded data named, Alpaca not reachable")
