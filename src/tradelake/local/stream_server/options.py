"""Options of the stream server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Fsync = Literal["always", "interval", "never"]


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What a stream server is started with.

    Parameters
    ----------
    folder : Path
        Where the logs live; made where it is missing. One server at a time.
    host : str
        Address to listen on.
    port : int
        Port to listen on; 0 picks a free one.
    fsync : {"always", "interval", "never"}
        ``always``: a record is acknowledged after an fsync that it shares with every request
        waiting (survives power loss). ``interval``: acknowledged once the kernel has it, synced
        every ``fsync_interval_s``. ``never``: left to the kernel. All three survive the death of
        the process.
    fsync_interval_s : float
        Period of ``interval``.
    segment_bytes : int
        A segment file is closed when it is this large.
    segment_age_s : float
        ... or its first record is this old; retention deletes whole segments.
    shard_limits : bool
        Hold every shard to 1 MiB/s and 1,000 records/s, as AWS does.
    iterator_ttl_s : float
        How long a shard iterator is good.
    region, account : str
        What ARNs say.
    """

    folder: Path
    host: str = "127.0.0.1"
    port: int = 0
    fsync: Fsync = "always"
    fsync_interval_s: float = 1.0
    segment_bytes: int = 32 << 20
    segment_age_s: float = 3600.0
    shard_limits: bool = False
    iterator_ttl_s: float = 300.0
    region: str = "us-east-1"
    account: str = "123456789012"
