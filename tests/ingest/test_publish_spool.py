"""The publisher with a disk: refused batches are durable there, and come in order from there."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ingest.fakes import Ledger, Stream, SystemTime, no_wait
from tests.ingest.test_publish import ScriptedFeed, expected_ids, stored_ids, trades
from tradelake.adapters.disk.spool import DiskSpool
from tradelake.errors import Fatal, SpoolFull, Throttled, Transient
from tradelake.market.records import Record
from tradelake.ports import OPEN, Outgoing
from tradelake.usecases.ingest import Batcher, BatchLimits
from tradelake.usecases.intake import Intake
from tradelake.usecases.publish import Patience, Publisher
from tradelake.usecases.run_ingester import run_ingester

BUCKETS = 4
HASTY = Patience(failures=2, wait_ns=20_000_000, spool_every_ns=0)


class Run:
    """A publisher with a spool on a fake stream."""

    def __init__(self, stream: Stream, spool: object, epoch: int = 3, most: int = 10_000) -> None:
        clock = SystemTime()
        self.ledger = Ledger()
        self.batcher = Batcher("us", epoch, BUCKETS, BatchLimits(linger_ns=0, max_in_hand=most))
        self.publisher = Publisher(
            self.batcher,
            stream,
            clock,
            no_wait,
            buckets=BUCKETS,
            spool=spool,
            patience=HASTY,
        )
        self.intake = Intake("us", epoch, self.batcher, self.publisher, self.ledger, clock, no_wait)

    async def feed(self, feed: object, **options: float) -> None:
        async with asyncio.timeout(20):
            await run_ingester(feed, self.intake, self.publisher, asyncio.Event(), **options)


async def until(done: Callable[[], bool]) -> None:
    for _ in range(20_000):
        if done():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never was so")


class Steps:
    """A feed that takes steps: frames of records, or waiting until something is so."""

    def __init__(self, *steps: list[Record] | Callable[[], bool]) -> None:
        self._steps = steps

    async def run(self, intake: Intake, stop: asyncio.Event) -> None:
        for step in self._steps:
            if callable(step):
                await until(step)
            else:
                intake.add(step, SystemTime().now_ns())
                if intake.full:
                    await intake.room()


def away(stream: Stream) -> None:
    stream.refuse = lambda _: Transient("away")


def back(stream: Stream) -> None:
    stream.refuse = lambda _: None


def then(act: Callable[[], None]) -> Callable[[], bool]:
    def done() -> bool:
        act()
        return True

    return done


def test_batches_go_to_the_disk_while_the_stream_is_away_and_all_come_in_order(tmp_path):
    stream = Stream()
    run = Run(stream, DiskSpool(tmp_path, 3))
    asyncio.run(
        run.feed(
            Steps(
                trades(0, 100),
                lambda: run.batcher.in_hand == 0,
                then(lambda: away(stream)),
                trades(100, 100),
                lambda: run.batcher.in_hand == 0,
                trades(200, 100),
                lambda: run.batcher.in_hand == 0,
                lambda: run.intake.status().spool_bytes > 0,
                then(lambda: back(stream)),
                trades(300, 100),
                lambda: run.publisher.spool_since_ns is None,
                trades(400, 100),
            )
        )
    )
    assert stored_ids(stream) == expected_ids(500)
    status = run.intake.status()
    assert status.acknowledged_records == 500
    assert status.spooled_batches > 0
    assert (status.spool_bytes, status.in_hand, status.times_full) == (0, 0, 0)
    assert list(tmp_path.rglob("*.*")) == []


def test_what_is_on_the_disk_is_left_for_the_next_run_when_the_stream_stays_away(tmp_path):
    stream = Stream()
    away(stream)
    first = Run(stream, DiskSpool(tmp_path, 3))
    asyncio.run(first.feed(Steps(trades(0, 100))))
    assert (stream.batches, first.batcher.in_hand) == ([], 0)
    back(stream)
    second = Run(stream, DiskSpool(tmp_path, 4), epoch=4)
    asyncio.run(second.feed(Steps(trades(100, 100))))
    epochs = [batch.epoch for batch in stream.batches]
    assert epochs == sorted(epochs), "what the earlier run left comes first"
    ids = {record.trade_id for batch in stream.batches for record in batch.records}
    assert ids == set(range(200))


def test_what_a_slow_stream_did_not_take_in_time_is_left_on_the_disk_and_the_run_ends_in_order(
    tmp_path,
):
    stream = Stream()
    away(stream)
    first = Run(stream, DiskSpool(tmp_path, 3))

    def take_one_request(_: Outgoing) -> None:
        stream.open.clear()

    def stream_is_slow() -> bool:
        stream.refuse = take_one_request
        return bool(stream.batches)

    def is_durable() -> bool:
        return first.batcher.in_hand == 0

    steps = [step for i in range(10) for step in (trades(i * 10, 10), is_durable)]
    asyncio.run(first.feed(Steps(*steps, stream_is_slow), drain_timeout_s=0.2))
    assert (first.intake.state, first.ledger.written) == ("stopped", [])
    assert 0 < len({r.trade_id for b in stream.batches for r in b.records}) < 100
    back(stream)
    stream.open = asyncio.Event()
    stream.open.set()
    asyncio.run(Run(stream, DiskSpool(tmp_path, 4), epoch=4).feed(Steps()))
    assert {r.trade_id for b in stream.batches for r in b.records} == set(range(100))


def test_nothing_is_left_on_the_disk_when_the_run_is_final(tmp_path):
    stream = Stream()
    away(stream)
    run = Run(stream, DiskSpool(tmp_path, 3))
    run.intake.final = True

    async def scenario() -> None:
        running = asyncio.create_task(run.feed(Steps(trades(0, 100))))
        await until(lambda: run.publisher.spooled_batches > 0)
        back(stream)
        await running

    asyncio.run(scenario())
    assert stored_ids(stream) == expected_ids(100)
    assert {batch.bucket for batch in stream.batches if not batch.records} == set(range(BUCKETS))


class SmallDisk:
    """A disk spool that refuses until told otherwise."""

    def __init__(self, spool: DiskSpool) -> None:
        self._spool = spool
        self.full = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._spool, name)

    def append(self, records: Sequence[Outgoing]) -> None:
        if self.full:
            raise SpoolFull("no space left on device")
        self._spool.append(records)


def test_feed_is_not_read_and_a_gap_is_written_when_memory_and_disk_are_full(tmp_path):
    stream = Stream()
    away(stream)
    disk = SmallDisk(DiskSpool(tmp_path, 3))
    disk.full = True
    run = Run(stream, disk, most=50)
    read = []

    async def scenario() -> None:
        steps = [[*trades(first, 10)] for first in range(0, 200, 10)]
        marked = [item for step in steps for item in (step, then(lambda: read.append(1)))]
        running = asyncio.create_task(run.feed(Steps(*marked)))
        await until(lambda: run.publisher.times_full > 0)
        await asyncio.sleep(0.05)
        assert (run.batcher.in_hand, len(read)) == (50, 4)
        disk.full = False
        await running

    asyncio.run(scenario())
    assert len(read) == 20
    opened, closed = run.ledger.written[0], run.ledger.written[1]
    assert opened.closed_ns == OPEN
    assert opened.cause == closed.cause == "disk full: no space left on device"
    assert closed.closed_ns > opened.opened_ns == closed.opened_ns
    back(stream)
    asyncio.run(Run(stream, DiskSpool(tmp_path, 4), epoch=4).feed(Steps()))
    assert stored_ids(stream) == expected_ids(200)


def test_stop_ends_the_run_and_ledgers_what_is_in_hand_when_memory_and_disk_are_full(tmp_path):
    stream = Stream()
    away(stream)
    disk = SmallDisk(DiskSpool(tmp_path, 3))
    disk.full = True
    run, stop = Run(stream, disk, most=50), asyncio.Event()

    async def scenario() -> None:
        steps = Steps(trades(0, 50), stop.is_set, trades(50, 10))
        running = asyncio.create_task(
            run_ingester(steps, run.intake, run.publisher, stop, drain_timeout_s=0.2)
        )
        await until(lambda: run.publisher.times_full > 0)
        received_ns = run.batcher.oldest_ns()
        stop.set()
        async with asyncio.timeout(5):
            with pytest.raises(Fatal, match="60 records were not durable"):
                await running
        unread, read_again, lost = run.ledger.written
        assert unread.closed_ns == OPEN
        assert read_again.key == unread.key
        assert read_again.closed_ns >= unread.opened_ns
        assert (lost.opened_ns, lost.closed_ns) == (received_ns, OPEN)
        assert received_ns <= unread.opened_ns

    asyncio.run(scenario())


def test_stop_loses_nothing_when_the_stream_takes_all_before_the_end(tmp_path):
    stream = Stream()
    away(stream)
    disk = SmallDisk(DiskSpool(tmp_path, 3))
    disk.full = True
    run, stop = Run(stream, disk, most=50), asyncio.Event()

    async def scenario() -> None:
        steps = Steps(trades(0, 50), stop.is_set, trades(50, 10))
        running = asyncio.create_task(run_ingester(steps, run.intake, run.publisher, stop))
        await until(lambda: run.publisher.times_full > 0)
        stop.set()
        await until(lambda: run.batcher.in_hand == 60)
        back(stream)
        async with asyncio.timeout(5):
            await running

    asyncio.run(scenario())
    assert stored_ids(stream) == expected_ids(60)
    assert [gap.closed_ns == OPEN for gap in run.ledger.written] == [True, False]


def test_the_stream_is_tried_again_when_the_disk_refuses_and_holds_nothing(tmp_path):
    stream = Stream()
    away(stream)
    disk = SmallDisk(DiskSpool(tmp_path, 3))
    disk.full = True
    run = Run(stream, disk)

    async def scenario() -> None:
        running = asyncio.create_task(run.feed(Steps(trades(0, 100))))
        await until(lambda: run.intake.status().spool_since_ns is not None)
        back(stream)
        await running

    asyncio.run(scenario())
    assert stored_ids(stream) == expected_ids(100)
    assert run.publisher.spooled_batches == 0


def test_run_stops_when_a_later_run_took_its_disk_over(tmp_path):
    stream = Stream()
    away(stream)
    run = Run(stream, DiskSpool(tmp_path, 3))

    def take_over() -> None:
        later = DiskSpool(tmp_path, 4)
        later.drop(len(later.oldest(1_000, 10**9)))

    steps = Steps(
        trades(0, 100), lambda: run.batcher.in_hand == 0, then(take_over), trades(100, 100)
    )
    with pytest.raises(Fatal, match="later run"):
        asyncio.run(run.feed(steps))
    assert run.ledger.written[-1].closed_ns == OPEN


@given(seed=st.integers(0, 2**32), share=st.sampled_from([0.05, 0.3, 0.8]))
@settings(max_examples=15, deadline=None)
def test_nothing_is_lost_doubled_or_reordered_when_records_are_refused_at_random(
    seed, share, tmp_path_factory
):
    rng = random.Random(seed)
    folder: Path = tmp_path_factory.mktemp("spool")
    refused = 0

    def refuse(_: Outgoing) -> Transient | None:
        nonlocal refused
        if refused < 2_000 and rng.random() < share:
            refused += 1
            return Throttled("less") if rng.random() < 0.5 else Transient("away")
        return None

    stream = Stream(refuse=refuse)
    run = Run(stream, DiskSpool(folder, 3))
    asyncio.run(run.feed(ScriptedFeed([trades(i * 10, 10) for i in range(40)])))
    if run.publisher.spool_bytes:
        back(stream)
        asyncio.run(Run(stream, DiskSpool(folder, 4), epoch=4).feed(Steps()))
    assert stored_ids(stream) == expected_ids(400)
