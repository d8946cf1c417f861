"""Saved backtests and sweeps: one folder each, complete or absent.

::

    <folder>/<id>/summary.json    what lists show: manifest, metrics, status
                  equity.parquet, trades.parquet, orders.parquet, fills.parquet
                  report.html
    <folder>/<id>/trials.parquet  of a sweep, instead of the tables
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from tradelake.errors import ConfigError, InvalidData

if TYPE_CHECKING:
    from tradelake.backtest.outcome import Backtest

_SUMMARY: Final = "summary.json"
_TABLES: Final = ("equity", "trades", "orders", "fills")


class SavedBacktests:
    """A folder of results.

    Parameters
    ----------
    folder : Path
        Made when something is saved.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, result: Backtest, now_ns: int) -> str:
        """Save a result and return its id.

        Raises
        ------
        OSError
            There is no room, or the folder takes no files; nothing of the result is left.
        """
        summary = summary_of(result)
        with self._staged() as made:
            for name in _TABLES:
                frame = getattr(result, name)
                table = pa.Table.from_pandas(frame.reset_index(), preserve_index=False)
                pq.write_table(table, made / f"{name}.parquet", compression="zstd")
            result.report(made / "report.html")
            return self._publish(made, summary, now_ns)

    def save_sweep(
        self, summary: Mapping[str, Any], trials: Sequence[Mapping[str, Any]], now_ns: int
    ) -> str:
        """Save a sweep's trials, one row each, and return its id.

        Raises
        ------
        OSError
            As :meth:`save`.
        """
        names = list(dict.fromkeys(name for trial in trials for name in trial))
        rows = {name: [trial.get(name) for trial in trials] for name in names}
        with self._staged() as made:
            pq.write_table(pa.table(rows), made / "trials.parquet", compression="zstd")
            return self._publish(made, {**summary, "kind": "sweep"}, now_ns)

    def check(self) -> None:
        """Make the folder, and refuse one that takes no results: before hours of work, not after.

        Raises
        ------
        ConfigError
            Nothing can be made there.
        """
        try:
            with self._staged():
                pass
        except OSError as error:
            raise ConfigError(f"cannot save in {self.folder}: {error.strerror or error}") from error

    @contextmanager
    def _staged(self) -> Iterator[Path]:
        """Give a folder to write to; what is left of it at the end is removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".saving-", dir=self.folder))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def _publish(self, made: Path, summary: Mapping[str, Any], now_ns: int) -> str:
        text = json.dumps(summary, indent=2, default=str, allow_nan=False)
        second = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC)
        digest = hashlib.blake2b(f"{text}{now_ns}".encode(), digest_size=4).hexdigest()
        name = f"{second:%Y%m%d-%H%M%S}-{digest}"
        (made / _SUMMARY).write_text(text, encoding="utf-8")
        made.chmod(0o755)
        made.rename(self.folder / name)
        return name

    def names(self) -> list[str]:
        """Return the ids, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(path.parent.name for path in self.folder.glob(f"[!.]*/{_SUMMARY}"))

    def summary(self, name: str) -> dict[str, Any]:
        """Return the summary of a result; the beginning of an id is enough where it is unique.

        Raises
        ------
        ConfigError
            None, or several, have that id.
        """
        found = [one for one in self.names() if one.startswith(name) or one.endswith(name)]
        if len(found) != 1 or not name:
            raise ConfigError(
                f"backtests: expected the id of one result in {self.folder}; "
                f"{len(found)} fit {name!r}"
            )
        path = self.folder / found[0] / _SUMMARY
        try:
            loaded = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigError(f"{path}: expected JSON: {error}") from error
        return {"id": found[0], **loaded}

    def remove(self, name: str) -> None:
        """Remove a result."""
        shutil.rmtree(self.folder / self.summary(name)["id"])


def summary_of(result: Backtest) -> dict[str, Any]:
    """Return what a list or a script wants to know of a result; numbers that are none are null."""
    try:
        measured: dict[str, Any] = result.metrics().row()
    except InvalidData as error:
        measured = {"error": str(error)}
    return {
        "kind": "backtest",
        "title": result.title,
        "final_equity": float(result.equity_values[-1]),
        "metrics": measured,
        "fees": result.fees,
        "orders": len(result.books.orders),
        "fills": len(result.books.fills),
        "rejects": result.rejects,
        "findings": [str(one) for one in result.findings],
        "realism": result.realism,
        "manifest": result.manifest,
    }
