"""What an event-source mapping remembers (checkpoints, durably) and tells (counters)."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tradelake.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a shard is dealt with.

    The last sequence number, None before the first; ``ended`` when it is read out.
    """

    sequence_number: str | None
    ended: bool


class Checkpoints:
    """Checkpoints in a SQLite file; safe to share between threads.

    Parameters
    ----------
    path : Path
        The file; made where it is missing.

    Raises
    ------
    ConfigError
        The file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=10.0, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS checkpoint (mapping TEXT, shard TEXT, sequence TEXT,"
                " ended INTEGER NOT NULL, PRIMARY KEY (mapping, shard))"
            )
            self._connection.commit()
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"event-source mapping: cannot open {path}: {error}") from error
        self._lock = threading.Lock()

    def load(self, mapping: str) -> dict[str, Checkpoint]:
        """Return the checkpoints of a mapping by shard."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT shard, sequence, ended FROM checkpoint WHERE mapping = ?", (mapping,)
            ).fetchall()
        return {shard: Checkpoint(sequence, bool(ended)) for shard, sequence, ended in rows}

    def save(self, mapping: str, shard: str, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint of a shard."""
        with self._lock, self._connection:
            self._connection.execute(
                "INSERT OR REPLACE INTO checkpoint VALUES (?, ?, ?, ?)",
                (mapping, shard, checkpoint.sequence_number, int(checkpoint.ended)),
            )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


@dataclass(slots=True)
class ShardStatus:
    """Counters of one shard; written by its reader's thread alone.

    ``caught_up_ns`` is an instant (ns since 1970 UTC) such that every record acknowledged before it
    is dealt with; 0 while that cannot be said.
    """

    shard_id: str
    records: int = 0
    invocations: int = 0
    errors: int = 0
    given_up: int = 0
    pending: int = 0
    in_flight: int = 0
    millis_behind: int | None = None
    caught_up_ns: int = 0
    finished: bool = False
    last_sequence_number: str | None = None
    last_error: str | None = None


@dataclass(frozen=True, slots=True)
class MappingStatus:
    """Counters of a mapping, summed over its shards.

    Parameters
    ----------
    name, stream : str
        The mapping and its stream's physical name.
    records, invocations, errors, given_up : int
        Dealt with, attempted, failed, sent to the on-failure destination; since this process began.
    pending, in_flight : int
        Read but not handed over; in the invocation in hand.
    millis_behind : int
        How far the slowest shard's reader is behind the tip.
    caught_up : bool
        Nothing is pending or in flight and the last look at every shard found nothing.
    caught_up_ns : int
        Every record acknowledged before this instant is dealt with; 0 while that cannot be said.
    last_sequence_numbers : dict
        By shard, the last record dealt with.
    last_error : str or None
        The latest failure.
    """

    name: str
    stream: str
    records: int
    invocations: int
    errors: int
    given_up: int
    pending: int
    in_flight: int
    millis_behind: int
    caught_up: bool
    caught_up_ns: int
    last_sequence_numbers: dict[str, str]
    last_error: str | None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def summarise(
    name: str, stream: str, shards: list[ShardStatus], *, discovered: bool
) -> MappingStatus:
    """Return the counters of a mapping.

    Parameters
    ----------
    name, stream : str
        Mapping and stream.
    shards : list of ShardStatus
        Every shard seen so far, finished ones too.
    discovered : bool
        Every shard there is has a reader or is finished; while False, nothing is caught up.
    """
    active = [shard for shard in shards if not shard.finished]
    pending = sum(shard.pending for shard in shards)
    in_flight = sum(shard.in_flight for shard in shards)
    caught_up_ns = min((shard.caught_up_ns for shard in active), default=0) if discovered else 0
    quiet = discovered and bool(active) and not pending and not in_flight
    return MappingStatus(
        name=name,
        stream=stream,
        records=sum(shard.records for shard in shards),
        invocations=sum(shard.invocations for shard in shards),
        errors=sum(shard.errors for shard in shards),
        given_up=sum(shard.given_up for shard in shards),
        pending=pending,
        in_flight=in_flight,
        millis_behind=max((shard.millis_behind or 0 for shard in active), default=0),
        caught_up=quiet and caught_up_ns > 0 and all(s.millis_behind == 0 for s in active),
        caught_up_ns=caught_up_ns,
        last_sequence_numbers={
            shard.shard_id: shard.last_sequence_number
            for shard in shards
            if shard.last_sequence_number is not None
        },
        last_error=next((s.last_error for s in shards if s.last_error is not None), None),
    )
