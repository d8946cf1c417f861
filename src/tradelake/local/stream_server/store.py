"""Streams, shards and their logs in one folder: the durable state of the server."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from tradelake.decoding import json_decoder
from tradelake.errors import ConfigError
from tradelake.local.stream_server.log import ShardLog
from tradelake.local.stream_server.options import ServerOptions
from tradelake.local.stream_server.protocol import in_use, not_found
from tradelake.local.stream_server.shards import RangeStep, Shard, covering, uniform_ranges

_CATALOG: Final = "catalog.json"
_LOGS: Final = "logs"
_HOUR_MS: Final = 3_600_000


class Consumer(msgspec.Struct, kw_only=True):
    """A registered consumer (enhanced fan-out)."""

    name: str
    arn: str
    created_ms: int


class StreamRecord(msgspec.Struct, kw_only=True):
    """What the catalog file keeps of a stream."""

    name: str
    stream_id: str
    created_ms: int
    mode: str
    retention_hours: int = 24
    tags: dict[str, str] = {}
    consumers: list[Consumer] = []
    shards: list[Shard] = []
    next_index: int = 0


class Stream:
    """A stream with its open logs and its routing table."""

    def __init__(self, record: StreamRecord, logs: dict[str, ShardLog]) -> None:
        self.record = record
        self.logs = logs
        self._by_id: dict[str, Shard] = {}
        self._starts: list[int] = []
        self._open: list[Shard] = []
        self.refresh()

    def refresh(self) -> None:
        """Rebuild the routing table after shards changed."""
        self._by_id = {shard.shard_id: shard for shard in self.record.shards}
        self._starts, self._open = covering(self.record.shards)

    def route(self, key: int) -> Shard:
        """Return the open shard whose range holds a hash key."""
        return self._open[bisect_right(self._starts, key) - 1]

    def shard(self, shard_id: str) -> Shard:
        """Return a shard by name.

        Raises
        ------
        KinesisError
            ``ResourceNotFoundException``.
        """
        shard = self._by_id.get(shard_id)
        if shard is None:
            raise not_found(f"shard {shard_id} in stream {self.record.name} does not exist")
        return shard

    def children(self, shard: Shard) -> list[Shard]:
        """Shards that continue one."""
        return [item for item in self.record.shards if shard.shard_id in item.parents]

    def trim_ms(self, now_ms: int) -> int:
        """Records that arrived earlier are no longer kept."""
        return now_ms - self.record.retention_hours * _HOUR_MS

    @property
    def open_shards(self) -> list[Shard]:
        """Shards that take writes, in order of their ranges."""
        return self._open


class StreamStore:
    """Every stream of a server.

    Parameters
    ----------
    options : ServerOptions
        Folder and log options.
    now_ms : callable
        Milliseconds since 1970 UTC.

    Raises
    ------
    ConfigError
        The folder cannot be written, belongs to a running server, or holds damaged logs.
    """

    def __init__(self, options: ServerOptions, now_ms: Callable[[], int]) -> None:
        self._options = options
        self._now_ms = now_ms
        self._folder = options.folder
        self._lock = _lock(options.folder)
        self._streams: dict[str, Stream] = {}
        for record in _load_catalog(self._folder / _CATALOG):
            logs = {shard.shard_id: self._open_log(record, shard) for shard in record.shards}
            self._streams[record.name] = Stream(record, logs)

    def names(self) -> list[str]:
        """Names of the streams, sorted."""
        return sorted(self._streams)

    def get(self, name: str) -> Stream:
        """Return a stream.

        Raises
        ------
        KinesisError
            ``ResourceNotFoundException``.
        """
        stream = self._streams.get(name)
        if stream is None:
            raise not_found(f"stream {name} under account {self._options.account} not found")
        return stream

    def arn(self, name: str) -> str:
        """ARN of a stream."""
        return f"arn:aws:kinesis:{self._options.region}:{self._options.account}:stream/{name}"

    def create(self, name: str, shard_count: int, mode: str, tags: dict[str, str]) -> Stream:
        """Create a stream with uniform shards.

        Raises
        ------
        KinesisError
            ``ResourceInUseException``: there is one of that name.
        """
        if name in self._streams:
            raise in_use(f"stream {name} under account {self._options.account} already exists")
        record = StreamRecord(
            name=name,
            stream_id=secrets.token_hex(8),
            created_ms=self._now_ms(),
            mode=mode,
            tags=dict(tags),
        )
        stream = Stream(record, {})
        self._open_shards(stream, uniform_ranges(shard_count), [])
        self._streams[name] = stream
        self.save()
        return stream

    def forget(self, name: str) -> Stream:
        """Take a stream out of the catalog, durably; its logs stay until :meth:`remove`."""
        stream = self.get(name)
        del self._streams[name]
        self.save()
        return stream

    def remove(self, stream: Stream) -> None:
        """Delete the records of a forgotten stream. No write may be in progress."""
        for log in stream.logs.values():
            log.remove()
        shutil.rmtree(self._folder / _LOGS / stream.record.stream_id, ignore_errors=True)

    def reshard(self, stream: Stream, step: RangeStep) -> None:
        """Close shards and open those that continue them, in one durable step.

        From here on writes go to the children; the parents can be read to their end.
        """
        closing = [
            shard for shard in stream.open_shards if (int(shard.low), int(shard.high)) in step.close
        ]
        for shard in closing:
            shard.closed_ms = self._now_ms()
            shard.end = stream.logs[shard.shard_id].assigned
        self._open_shards(stream, step.open, [shard.shard_id for shard in closing])
        self.save()
        for shard in closing:
            stream.logs[shard.shard_id].changed.fire()

    def save(self) -> None:
        """Write the catalog: whole or not at all."""
        path = self._folder / _CATALOG
        partial = path.with_suffix(".partial")
        records = [stream.record for stream in self._streams.values()]
        with partial.open("wb") as file:
            file.write(msgspec.json.encode(records))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def expire(self) -> int:
        """Delete segments beyond retention and closed shards with nothing left.

        Returns how many segments were deleted.
        """
        deleted = 0
        gone = False
        for stream in self._streams.values():
            before_ms = stream.trim_ms(self._now_ms())
            for shard in list(stream.record.shards):
                log = stream.logs[shard.shard_id]
                deleted += log.expire(before_ms)
                if (
                    shard.closed_ms is not None
                    and max(shard.closed_ms, log.last_arrival_ms) < before_ms
                ):
                    stream.record.shards.remove(shard)
                    stream.logs.pop(shard.shard_id).remove()
                    gone = True
            stream.refresh()
        if gone:
            self.save()
        return deleted

    def close(self) -> None:
        """Sync and close every log and let go of the folder."""
        for stream in self._streams.values():
            for log in stream.logs.values():
                log.close()
        os.close(self._lock)

    def _open_shards(
        self,
        stream: Stream,
        ranges: list[tuple[int, int]] | tuple[tuple[int, int], ...],
        parents: list[str],
    ) -> None:
        record = stream.record
        for low, high in ranges:
            shard = Shard(
                index=record.next_index,
                low=str(low),
                high=str(high),
                created_ms=self._now_ms(),
                parent=parents[0] if parents else None,
                adjacent_parent=parents[1] if len(parents) > 1 else None,
            )
            record.next_index += 1
            record.shards.append(shard)
            stream.logs[shard.shard_id] = self._open_log(record, shard)
        stream.refresh()

    def _open_log(self, record: StreamRecord, shard: Shard) -> ShardLog:
        return ShardLog(
            self._folder / _LOGS / record.stream_id / shard.shard_id,
            segment_bytes=self._options.segment_bytes,
            segment_age_ms=int(self._options.segment_age_s * 1000),
        )


def _lock(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ConfigError(f"stream server: cannot write to {folder}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise ConfigError(f"stream server: {folder} is in use by another stream server") from error
    return lock


def _load_catalog(path: Path) -> list[StreamRecord]:
    if not path.exists():
        return []
    try:
        return json_decoder(list[StreamRecord]).decode(path.read_bytes())
    except msgspec.DecodeError as error:
        raise ConfigError(f"stream server: {path} is no catalog: {error}") from error
