"""Every Protocol the use cases need. Adapters implement them; contract suites check them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Protocol

import msgspec

from tradelake.errors import Transient
from tradelake.feed.universe import Asset
from tradelake.market.arrays import BarArrays
from tradelake.market.records import Bar, Quote, Record, Trade
from tradelake.stream.envelope import Batch
from tradelake.topology.tables import Table


class Clock(Protocol):
    """The time of day."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970 UTC."""
        ...


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to be put on a stream; ``key`` decides the shard and so the order."""

    key: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Received:
    """A record read from a stream; ``sequence_number`` grows along a partition key."""

    sequence_number: str
    key: str
    data: bytes
    arrival_ns: int = 0


class StreamWriter(Protocol):
    """Puts records on one stream."""

    def put(self, records: Sequence[Outgoing]) -> None:
        """Put records; when this returns they are durable, those of equal key in the given order.

        Raises
        ------
        Transient
            After the writer's own retries; some records may have been written, in order, without
            holes per key.
        """
        ...


class AsyncStreamWriter(Protocol):
    """Offers records to one stream; when to offer again what was refused is the caller's policy."""

    async def offer(self, records: Sequence[Outgoing]) -> Sequence[Transient | None]:
        """Put records of different keys, once; None for each that is durable, else the refusal.

        Raises
        ------
        Transient
            Nothing is known of any of them: each may be on the stream or not.
        Fatal
            The stream refuses for good.
        """
        ...

    async def close(self) -> None:
        """Close its connections; nothing is offered any more."""
        ...


class Spool(Protocol):
    """Keeps records on a disk while a stream refuses them: first in, first out. Blocks.

    What an earlier run left behind comes first. Called from one thread that appends and one that
    reads and drops, at the same time.
    """

    @property
    def empty(self) -> bool:
        """Whether all that was appended, or left by an earlier run, was dropped."""
        ...

    @property
    def size_bytes(self) -> int:
        """What waits takes on the disk."""
        ...

    @property
    def damaged_bytes(self) -> int:
        """What was found unreadable before whole records: the disk lost it, not a crash."""
        ...

    def append(self, records: Sequence[Outgoing]) -> None:
        """Append records; on return they survive the death of process and machine.

        Raises
        ------
        SpoolFull
            None of them is promised; one that is found there all the same is a repeat.
        Fatal
            Another run took this one's records over: it is this run that is out of date.
        """
        ...

    def oldest(self, max_records: int, max_bytes: int) -> list[Outgoing]:
        """Return the oldest records in order; none only when the spool is empty.

        Raises
        ------
        Transient
            The disk does not answer.
        Fatal
            Another run took this one's records over.
        """
        ...

    def drop(self, count: int) -> None:
        """Forget the oldest ``count`` records: they are on the stream."""
        ...

    def close(self) -> None:
        """Let go of files; what waits stays for a later run."""
        ...


@dataclass(frozen=True, slots=True)
class Versioned:
    """A stored value and the version a writer must name to replace it."""

    value: bytes
    version: int


class StateStore(Protocol):
    """Small values under (consumer, key), written conditionally."""

    def load(self, consumer: str, key: str) -> Versioned | None:
        """Value with its version, or None."""
        ...

    def save(self, consumer: str, key: str, value: bytes, expected_version: int) -> None:
        """Replace the value when its version is ``expected_version`` (0: when there is none).

        Raises
        ------
        Conflict
            Somebody else wrote since.
        """
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one append did: rows added, rows that were duplicates, batches delivered before."""

    rows: int
    duplicates: int
    skipped_batches: int


class LakeWriter(Protocol):
    """Appends to lake tables, exactly once."""

    def deliver(self, stream: str, batches: Sequence[Batch]) -> Mapping[str, Delivery]:
        """Append the records of batches read from ``stream``, each to the table of its kind.

        A batch at or before a table's watermark for its source is skipped; rows whose identity is
        in the table already are counted as duplicates; watermark and rows are one commit per table.
        Never appends a part of a batch to one table.

        Raises
        ------
        InvalidData
            A record has no table or does not fit its columns; nothing was appended.
        Transient
            The catalog kept refusing; what was committed stays and is recognised next time.
        """
        ...

    def append(self, table: Table, columns: Mapping[str, Sequence[Any]]) -> Delivery:
        """Append rows given as columns; rows whose identity is in the table already are duplicates.

        Appending the same rows again therefore changes nothing, and the answer says so.
        """
        ...


class BarSource(Protocol):
    """Where bars are read from."""

    def bars(
        self,
        symbol: str,
        timeframe: str,
        start_ns: int | None = None,
        end_ns: int | None = None,
        source: str | None = None,
    ) -> BarArrays:
        """Bars with ``start_ns <= ts_event < end_ns``, oldest first; each in its newest revision.

        Raises
        ------
        InsufficientData
            There are none.
        """
        ...


class InstrumentRows(NamedTuple):
    """Rows of the table ``instruments``, oldest first, and which state of it they are."""

    rows: list[dict[str, object]]
    snapshot_id: str


class InstrumentSource(Protocol):
    """Where it is read from what instruments were like, by date."""

    def instruments(self, symbols: Sequence[str]) -> InstrumentRows:
        """Return what is known of some symbols; nothing where nothing is known."""
        ...


class TickSource(Protocol):
    """Stored records of an interval ``start_ns <= ts_event < end_ns``, each once."""

    def symbols(self, venue: str, start_ns: int, end_ns: int) -> list[str]:
        """Symbols that traded or were quoted, sorted."""
        ...

    def trades(self, venue: str, symbol: str, start_ns: int, end_ns: int) -> list[Trade]:
        """Trades by (ts_event, trade_id)."""
        ...

    def quotes(self, venue: str, symbol: str, start_ns: int, end_ns: int) -> list[Quote]:
        """Quotes by (ts_event, occurrence)."""
        ...

    def bars(self, venue: str, timeframe: str, start_ns: int, end_ns: int) -> list[Bar]:
        """Every revision of every bar, ours and the venue's, in no order."""
        ...


class HotStore(Protocol):
    """Recent bars, quick to read."""

    def upsert_bars(self, venue: str, bars: Sequence[Bar]) -> None:
        """Write bars; a bar of the same open is replaced unless the stored revision is later.

        "The same" means equal (venue, source, channel, symbol, timeframe, ts_event).
        """
        ...

    def recent_bars(self, symbol: str, timeframe: str, limit: int) -> list[Bar]:
        """Latest bars, oldest first."""
        ...


class ObjectStore(Protocol):
    """Objects under keys of one bucket."""

    def put(self, key: str, data: bytes) -> None:
        """Write an object whole or not at all."""
        ...

    def get(self, key: str) -> bytes:
        """Read an object.

        Raises
        ------
        KeyError
            There is none.
        """
        ...

    def list(self, prefix: str) -> Iterator[str]:
        """Keys that start with ``prefix``, sorted."""
        ...


class SecretStore(Protocol):
    """Secrets by name. Values are never logged."""

    def get(self, name: str) -> Mapping[str, str]:
        """Fields of the secret.

        Raises
        ------
        ConfigError
            It does not exist or is no JSON object of strings.
        """
        ...


@dataclass(frozen=True, slots=True)
class Fence:
    """An epoch, and until when the run before had everything durable; None: it ended in order."""

    epoch: int
    durable_ns: int | None


class EpochStore(Protocol):
    """Hands out fences, and keeps how far the run behind the latest one came."""

    def next_fence(self, name: str) -> Fence:
        """A fence whose epoch is greater than every one handed out before for ``name``."""
        ...

    def note_durable(self, name: str, epoch: int, durable_ns: int | None) -> None:
        """Keep that all received before ``durable_ns`` is durable; None: the run ends in order.

        Raises
        ------
        Conflict
            A later fence was handed out.
        """
        ...


@dataclass(frozen=True, slots=True)
class Lease:
    """Who leads; ``beat`` changes whenever the holder gives a sign of life."""

    holder: str
    epoch: int
    beat: int


class LeaseStore(Protocol):
    """One leader a name. A holder that stops renewing is replaced; epochs fence what it wrote."""

    def read(self, name: str) -> Lease | None:
        """The lease, or None when nobody holds it; never an old one."""
        ...

    def take(self, name: str, holder: str, seen: Lease | None) -> Fence:
        """Become the holder with a new epoch, if the lease is still as ``seen``.

        Raises
        ------
        Conflict
            The holder gave a sign of life since, or somebody else took it.
        """
        ...

    def renew(self, name: str, epoch: int) -> None:
        """Give a sign of life.

        Raises
        ------
        Conflict
            Somebody else holds the lease now.
        """
        ...

    def release(self, name: str, epoch: int) -> None:
        """Give the lease back, so that a standby need not wait; nothing when it is lost already."""
        ...


class Evictor(Protocol):
    """Ends the process behind a holder, so that it lets go of the venue's one connection."""

    def evict(self, holder: str) -> None:
        """End it for certain, even one that is paused; nothing when there is none any more.

        Raises
        ------
        Transient
            It could not be asked for; it may live on.
        """
        ...


OPEN: Final = 0
"""``closed_ns`` of a gap that lasts."""

FillStatus = Literal["waiting", "filling", "filled", "unrecoverable"]


class ChannelFill(msgspec.Struct, frozen=True, kw_only=True):
    """How far one channel of a gap was fetched again.

    Parameters
    ----------
    status : str
        ``waiting`` for the gap's end or its turn, ``filling``, ``filled``: all the venue has of the
        interval is on the backfill stream, ``unrecoverable``: the venue keeps no history of it.
    cursor : str
        Where to go on, opaque; empty at the start and at the end.
    fetched : dict of str to int
        Records put on the backfill stream by symbol; most are duplicates of what was there.
    """

    status: FillStatus = "waiting"
    cursor: str = ""
    fetched: dict[str, int] = {}


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """What was done about a gap.

    Parameters
    ----------
    channels : dict of str to ChannelFill
        By channel; a channel that is not there waits.
    epoch : int
        Epoch of the newest run's batches for this gap on the backfill lane; -1 before the first.
    last_seq : dict of str to int
        By bucket, the ``seq`` of the last batch put in that epoch.
    earlier : dict of int to dict
        The same by epoch, of the runs that were interrupted before it.
    settled : bool
        Every bar that overlaps the gap was rebuilt from the filled lake.
    """

    channels: dict[str, ChannelFill] = {}
    epoch: int = -1
    last_seq: dict[str, int] = {}
    earlier: dict[int, dict[str, int]] = {}
    settled: bool = False

    def positions(self) -> Iterator[tuple[int, str, int]]:
        """(epoch, bucket, ``seq``) of the last batch of every epoch and bucket that was put."""
        for epoch, last_seq in (*self.earlier.items(), (self.epoch, self.last_seq)):
            for bucket, seq in last_seq.items():
                yield epoch, bucket, seq


NOTHING_FILLED: Final = Fill()


@dataclass(frozen=True, slots=True)
class Gap:
    """An interval in which data may be missing; ``closed_ns`` is ``OPEN`` while it lasts.

    ``fill`` is the backfill's own account; whoever opens or closes a gap leaves it alone.
    """

    venue: str
    opened_ns: int
    closed_ns: int
    channels: tuple[str, ...]
    symbols: tuple[str, ...]
    cause: str
    fill: Fill = NOTHING_FILLED

    @property
    def key(self) -> tuple[str, int, str, tuple[str, ...], tuple[str, ...]]:
        """What names it: everything that is known when it opens."""
        return (self.venue, self.opened_ns, self.cause, self.channels, self.symbols)


class GapLedger(Protocol):
    """Keeps every gap for ever, with what was done about it."""

    def record(self, gap: Gap) -> None:
        """Write a gap; all but ``closed_ns`` names it, so that it can be closed; ``fill`` stays."""
        ...

    def note_fill(self, gap: Gap, fill: Fill) -> None:
        """Replace what was done about ``gap``.

        Raises
        ------
        Conflict
            It is not ``gap.fill`` any more: somebody else works on it.
        """
        ...

    def gaps(self) -> list[Gap]:
        """Every gap, oldest first."""
        ...


class Stage(Protocol):
    """A step every received frame's records pass in the ingester, before they are batched.

    Steps keep state, never wait, and never drop a record: what is odd is flagged.
    """

    def process(self, records: Sequence[Record], now_ns: int) -> Sequence[Record]:
        """Return the records to go on with: the same, flagged, or with others added."""
        ...


class Assets(Protocol):
    """What a venue trades."""

    def crypto_assets(self) -> Sequence[Asset]:
        """Every crypto pair the venue lists, active or not.

        Raises
        ------
        Transient
            The venue could not be reached, or asks for less.
        Fatal
            It refuses the credentials.
        InvalidData
            Rule ``assets``: the answer is not what the API documents.
        """
        ...


class MarketHistory(Protocol):
    """Historical bars over REST."""

    def bars(
        self, symbols: Sequence[str], timeframe: str, start_ns: int, end_ns: int
    ) -> Iterable[Sequence[Bar]]:
        """Pages of bars with ``start_ns <= ts_event < end_ns``, sorted by symbol, then time."""
        ...


class ChannelHistory(Protocol):
    """What a venue published on its channels, over REST."""

    def pages(
        self, channel: str, symbols: Sequence[str], start_ns: int, end_ns: int
    ) -> Iterable[Sequence[Record]]:
        """Pages of records with ``start_ns <= ts_event < end_ns``, sorted by symbol, then time.

        Records are equal in identity to what the channel carried: channel, revision, and the
        occurrence of equal quotes counted from the start of each instant.

        Raises
        ------
        Throttled
            The venue asks for a longer pause than the adapter waits.
        Transient
            It kept failing.
        Fatal, InvalidData
            It refuses the request, or the answer is not what it documents.
        """
        ...


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """What to train: bars of one timeframe, and hyper-parameters as strings."""

    name: str
    series: tuple[BarArrays, ...]
    hyperparameters: Mapping[str, str]


class TrainingJobs(Protocol):
    """Runs training jobs to their end."""

    def train(self, job: TrainingJob) -> bytes:
        """Return the trained ``model.tar.gz``; equal jobs give equal bytes.

        Raises
        ------
        ConfigError, InsufficientData, InvalidData
            The job cannot give a model as it is.
        Fatal
            It crashed or ran too long.
        """
        ...


class Workflows(Protocol):
    """Starts and watches state machines."""

    def start(self, workflow: str, name: str, payload: Mapping[str, Any]) -> str:
        """Start an execution; returns its id."""
        ...

    def status(self, execution: str) -> tuple[str, Mapping[str, Any] | None]:
        """(RUNNING | SUCCEEDED | FAILED | TIMED_OUT | ABORTED, output or None)."""
        ...
