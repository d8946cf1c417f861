"""Run users' transforms over clean micro-batches: what they make goes to the derived stream.

**Stamps.** The results of a batch keep its stamp, so a batch that is handed over again gives the
same stamp and readers skip it. Records that a transform could not deal with go to quarantine under
the batch's stamp too, but with the origin ``transform`` (joined to the batch's own), because
``validate`` may have quarantined others of the same stamp: so the two are different sources to a
reader. Their ``position`` is negative, -1, -2, ...: quarantine is identified by stamp and position,
and those of ``validate`` are not negative. Their channel is ``derived``, since the record itself is
clean and stored: no account of what the venue sent counts them. What does not fit into one record
of the stream follows in parts, whose origins end in their numbers, 1, 2, ...: sources of their own
again, since a reader takes one batch of a source and stamp.

**Failures.** Whatever a transform raises is that record's and that transform's alone. Python cannot
safely stop a function from outside, so its time is measured: a transform that has used
``limit_s`` within one batch is given no more records of it, they are quarantined as well. Where an
invocation has lasted ``invocation_s``, the batches that are left are handed over again. A transform
that never returns is ended by the function's own time-out, and holds up the derived stream alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from tradelake.errors import InvalidData, Transient
from tradelake.market.channels import DERIVED
from tradelake.market.records import Derived, Record, Rejected, Unreadable
from tradelake.ports import Received, StreamWriter
from tradelake.stream.envelope import (
    MAX_NAME_CHARACTERS,
    Batch,
    Damaged,
    encode_record,
    open_bundle,
)
from tradelake.transforms import Kept, Transform, results, rule_of
from tradelake.usecases.bundles import Bundles

ORIGIN: Final = "transform"
"""Origin of the batches of rejects; tells them from those of ``validate``."""
PART_BYTES: Final = 896 * 1024
"""Bytes of a part before compression."""
MAX_BATCH_BYTES: Final = 8 * 1024 * 1024
"""Bytes of the results of a batch; a record whose results would exceed them is quarantined."""
_MAX_REASON: Final = 500


class Transformed(msgspec.Struct, kw_only=True):
    """Counts of one invocation, by transform; ``failed_from`` is handed over again and all after.

    ``unreadable`` batches were told by whoever reads the same stream to quarantine them.
    """

    bundles: int = 0
    batches: int = 0
    records: dict[str, int] = msgspec.field(default_factory=dict)
    derived: dict[str, int] = msgspec.field(default_factory=dict)
    rejected: dict[str, int] = msgspec.field(default_factory=dict)
    seconds: dict[str, float] = msgspec.field(default_factory=dict)
    unreadable: int = 0
    failed_from: int | None = None
    failure: str = ""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long a transform may take for one batch, and an invocation for all, in seconds."""

    limit_s: float = 2.0
    invocation_s: float = 30.0


USUAL_LIMITS: Final = Limits()


class Transforming:
    """The work of the function ``transform``.

    Parameters
    ----------
    transforms : sequence of Transform
        In their order.
    derived, quarantine : StreamWriter
        Where results and rejects go, under the key ``str(bucket)``.
    seconds : callable
        A clock that only goes forward.
    limits : Limits
        Of time.
    """

    def __init__(
        self,
        transforms: Sequence[Transform],
        derived: StreamWriter,
        quarantine: StreamWriter,
        seconds: Callable[[], float],
        limits: Limits = USUAL_LIMITS,
    ) -> None:
        self._transforms = transforms
        self._derived = derived
        self._quarantine = quarantine
        self._seconds = seconds
        self._limits = limits

    def run(self, received: Sequence[Received]) -> Transformed:
        """Transform records of the clean stream; returns counts.

        Rejects are durable before results: whoever sees a batch's results can rely on its rejects.
        Without transforms nothing is decoded.
        """
        outcome = Transformed(bundles=len(received))
        if not self._transforms:
            return outcome
        until = self._seconds() + self._limits.invocation_s
        work = _Work(self._transforms, self._seconds, self._limits)
        for index, record in enumerate(received):
            if index and self._seconds() > until:
                outcome.failed_from = index
                outcome.failure = f"{self._limits.invocation_s:g} s are over"
                break
            work.add(record)
        try:
            for writer, bundles in (
                (self._quarantine, work.quarantine),
                (self._derived, work.derived),
            ):
                if outgoing := bundles.outgoing():
                    writer.put(outgoing)
        except Transient as error:
            return Transformed(bundles=len(received), failed_from=0, failure=str(error))
        outcome.batches, outcome.unreadable = work.batches, work.unreadable
        outcome.records, outcome.derived = dict(work.seen), dict(work.made)
        outcome.rejected = dict(work.rejected)
        outcome.seconds = {name: round(spent, 6) for name, spent in work.spent.items()}
        return outcome


class _Work:
    def __init__(
        self, transforms: Sequence[Transform], seconds: Callable[[], float], limits: Limits
    ) -> None:
        self.derived = Bundles()
        self.quarantine = Bundles()
        self.batches = 0
        self.unreadable = 0
        self.seen: Counter[str] = Counter()
        self.made: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.spent: dict[str, float] = {}
        self._transforms = transforms
        self._seconds = seconds
        self._limits = limits

    def add(self, received: Received) -> None:
        """Transform one record of the stream.

        A part of it that is no batch is left to ``deliver``, which reads the same stream and
        quarantines it.
        """
        try:
            parts = open_bundle(received.data).parts
        except InvalidData:
            self.unreadable += 1
            return
        for part in parts:
            if isinstance(part, Damaged):
                self.unreadable += 1
            else:
                self._add_batch(part)

    def _add_batch(self, batch: Batch) -> None:
        self.batches += 1
        made, rejects = _Parts(), _Parts()
        for one in self._transforms:
            self._apply(one, batch, made, rejects)
        for part in made.batches(batch, ()):
            self.derived.add_batch(part)
        for part in rejects.batches(batch, (ORIGIN,)):
            self.quarantine.add_batch(part)

    def _apply(self, one: Transform, batch: Batch, made: _Parts, rejects: _Parts) -> None:
        """Give a transform the records it wants."""
        ordinal, spent = 0, 0.0
        for record in batch.records:
            if isinstance(record, Unreadable | Rejected | Derived) or not one.wants(record):
                continue
            self.seen[one.name] += 1
            if spent > self._limits.limit_s:
                reason = f"expected at most {self._limits.limit_s:g} s a batch; found {spent:g} s"
                self._reject(one, record, reason, rejects)
                continue
            began = self._seconds()
            try:
                answer = results(one, record, ordinal)
            except InvalidData as error:
                self._reject(one, record, error.reason, rejects)
                continue
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's function is at fault
                self._reject(one, record, _said(error), rejects)
                continue
            finally:
                spent += self._seconds() - began
            encoded = [len(encode_record(result)) for result in answer]
            if made.size + sum(encoded) > MAX_BATCH_BYTES:
                reason = f"expected at most {MAX_BATCH_BYTES} bytes of results a batch; found more"
                self._reject(one, record, reason, rejects)
                continue
            for result, size in zip(answer, encoded, strict=True):
                made.add(result, size)
            ordinal += len(answer)
        self.made[one.name] += ordinal
        self.spent[one.name] = self.spent.get(one.name, 0.0) + spent

    def _reject(self, one: Transform, record: Kept, reason: str, rejects: _Parts) -> None:
        self.rejected[one.name] += 1
        raw = encode_record(record)
        reject = Rejected(
            symbol=record.symbol,
            ts_event=record.ts_event,
            ts_ingest=record.ts_ingest,
            channel=DERIVED,
            rule=rule_of(one),
            reason=" ".join(reason.split())[:_MAX_REASON],
            raw=raw[:PART_BYTES],
            position=-1 - rejects.count,
        )
        rejects.add(reject, len(raw) + 4 * _MAX_REASON)


def _said(error: BaseException) -> str:
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - an exception class of the user's may raise as well
        message = "a message that cannot be shown"
    return f"{type(error).__name__}: {message}".encode("utf-8", "replace").decode()


class _Parts:
    """Records of one stamp, divided into batches that fit into a record of the stream each."""

    def __init__(self) -> None:
        self.count = 0
        self.size = 0
        self._parts: list[list[Record]] = []
        self._room = 0

    def add(self, record: Record, size: int) -> None:
        """Add a record of so many bytes."""
        if size > self._room or not self._parts:
            self._parts.append([])
            self._room = PART_BYTES
        self._parts[-1].append(record)
        self._room -= size
        self.size += size
        self.count += 1

    def batches(self, batch: Batch, suffix: tuple[str, ...]) -> Iterator[Batch]:
        """Yield the parts under the stamp of ``batch``, with an origin of their own."""
        for number, records in enumerate(self._parts):
            names = (batch.origin, *suffix, str(number) if number else "")
            origin = ".".join(name for name in names if name)[-MAX_NAME_CHARACTERS:]
            yield msgspec.structs.replace(batch, origin=origin, records=records)
