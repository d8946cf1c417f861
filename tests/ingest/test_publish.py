"""The publisher never drops, never reorders, and stops when it must."""

from __future__ import annotations

import asyncio

import pytest

from tests.ingest.fakes import Ledger, Stream, SystemTime, no_wait
from tradelake.errors import Fatal, Throttled, Transient
from tradelake.feed.events import STOP, GapClosed, GapOpened, Interrupted, Records, Subscribed
from tradelake.market.records import Record, Trade
from tradelake.ports import OPEN, Gap
from tradelake.stream.envelope import FINAL_WATERMARK
from tradelake.usecases.ingest import Batcher, BatchLimits
from tradelake.usecases.intake import Intake, unended_run
from tradelake.usecases.publish import Publisher
from tradelake.usecases.run_ingester import run_ingester

BUCKETS = 4


def trades(first: int, count: int) -> list[Record]:
    now = SystemTime().now_ns()
    return [
        Trade(f"C{i % 7}/USD", now - 1_000, now, i, 1.0, 1.0) for i in range(first, first + count)
    ]


class Bench:
    """A publisher and an intake on a fake stream."""

    def __init__(self, stream: Stream, ledger: Ledger | None = None, **options: object) -> None:
        clock = SystemTime()
        self.ledger = ledger or Ledger()
        limits = BatchLimits(linger_ns=1_000_000, max_in_hand=options.pop("max_in_hand", 10_000))
        self.batcher = Batcher("us", 3, BUCKETS, limits)
        self.publisher = Publisher(self.batcher, stream, clock, no_wait, buckets=BUCKETS)
        self.intake = Intake(
            "us", 3, self.batcher, self.publisher, self.ledger, clock, no_wait, **options
        )

    async def run(self, feed: object, **options: float) -> None:
        await run_ingester(feed, self.intake, self.publisher, asyncio.Event(), **options)


class ScriptedFeed:
    """Hands over frames of trades, waiting for room, and then ends or fails."""

    def __init__(self, frames: list[list[Record]], failure: Exception | None = None) -> None:
        self._frames, self._failure = frames, failure

    async def run(self, intake: Intake, stop: asyncio.Event) -> None:
        intake.take(Subscribed({}), SystemTime().now_ns())
        for frame in self._frames:
            intake.take(Records(frame), SystemTime().now_ns())
            await asyncio.sleep(0)
            if intake.full:
                await intake.room()
        if self._failure is not None:
            raise self._failure


def stored_ids(stream: Stream) -> dict[str, list[int]]:
    """Trade ids by symbol as a reader sees them that skips repeated positions."""
    seen: dict[int, int] = {}
    ids: dict[str, list[int]] = {}
    for batch in stream.batches:
        expected = seen.get(batch.bucket, -1) + 1
        assert batch.seq in (expected, expected - 1), "a hole or a step back"
        if batch.seq < expected:
            continue
        seen[batch.bucket] = batch.seq
        for record in batch.records:
            ids.setdefault(record.symbol, []).append(record.trade_id)
    return ids


def expected_ids(count: int) -> dict[str, list[int]]:
    ids: dict[str, list[int]] = {}
    for i in range(count):
        ids.setdefault(f"C{i % 7}/USD", []).append(i)
    return ids


@pytest.mark.parametrize("accepted", [0, 1, 2])
def test_everything_arrives_once_and_in_order_when_puts_fail(accepted):
    errors = [Transient("away"), Throttled("less", 0.001), Transient("away")]
    stream = Stream(errors, accept_before_error=accepted)
    bench = Bench(stream)
    asyncio.run(bench.run(ScriptedFeed([trades(i * 10, 10) for i in range(50)])))
    assert stored_ids(stream) == expected_ids(500)
    status = bench.intake.status()
    assert (status.acknowledged_records, status.in_hand, status.retries) == (500, 0, 3)
    assert (status.state, status.received) == ("stopped", {"trades": 500})
    assert status.latency_ms.p99 is not None


def test_report_says_what_happened_since_the_one_before_when_asked_twice():
    bench = Bench(Stream())
    asyncio.run(bench.run(ScriptedFeed([trades(0, 70)])))
    first, second = bench.intake.report(), bench.intake.report()
    assert first.received_per_s > 0
    assert first.durable_per_s == first.received_per_s
    assert first.recent_ms.p99 is not None
    assert (second.received_per_s, second.durable_per_s, second.recent_ms.p99) == (0.0, 0.0, None)
    assert second.latency_ms == first.latency_ms


def test_feed_is_not_read_when_too_much_is_in_hand():
    stream = Stream()
    stream.open.clear()
    bench = Bench(stream, max_in_hand=30)
    most = 0

    async def scenario() -> None:
        nonlocal most
        running = asyncio.create_task(
            bench.run(ScriptedFeed([trades(i * 10, 10) for i in range(20)]))
        )
        for _ in range(50):
            await asyncio.sleep(0.001)
            most = max(most, bench.batcher.in_hand)
        stream.open.set()
        await running

    asyncio.run(scenario())
    assert most == 30
    assert stored_ids(stream) == expected_ids(200)


def test_event_time_stands_still_while_the_feed_is_not_read():
    stream = Stream()
    stream.open.clear()
    bench = Bench(stream, max_in_hand=30)
    watermark = bench.batcher.watermark
    second_ns = 1_000_000_000

    async def scenario() -> tuple[int, int]:
        frames = [trades(i * 10, 10) for i in range(20)]
        running = asyncio.create_task(bench.run(ScriptedFeed(frames)))
        await asyncio.sleep(0.05)
        assert bench.intake.full
        now_ns = SystemTime().now_ns()
        held_ns = watermark.at(now_ns + 60 * second_ns)
        stream.open.set()
        await running
        return held_ns, now_ns

    held_ns, now_ns = asyncio.run(scenario())
    assert now_ns - 10 * second_ns < held_ns <= now_ns
    assert watermark.at(SystemTime().now_ns() + 60 * second_ns) > now_ns + 59 * second_ns


def test_run_stops_with_the_reason_and_a_gap_when_the_stream_refuses_for_good():
    bench = Bench(Stream([Fatal("PutRecords: AccessDenied")] * 9))

    class Endless(ScriptedFeed):
        async def run(self, intake: Intake, stop: asyncio.Event) -> None:
            await super().run(intake, stop)
            await stop.wait()

    with pytest.raises(Fatal, match="AccessDenied"):
        asyncio.run(bench.run(Endless([trades(0, 10)])))
    [gap] = bench.ledger.written
    assert gap.closed_ns == OPEN
    assert "AccessDenied" in gap.cause


def test_run_flushes_first_and_raises_then_when_the_venue_refuses_for_good():
    stream = Stream()
    bench = Bench(stream)
    with pytest.raises(Fatal, match="409"):
        asyncio.run(bench.run(ScriptedFeed([trades(0, 70)], Fatal("409 no plan"))))
    assert stored_ids(stream) == expected_ids(70)


def test_run_gives_up_with_a_gap_when_the_stream_is_away_for_too_long_at_the_end():
    stream = Stream([Transient("away")] * 1_000_000)
    bench = Bench(stream)
    with pytest.raises(Fatal, match="70 records were not durable"):
        asyncio.run(bench.run(ScriptedFeed([trades(0, 70)]), drain_timeout_s=0.05))
    assert bench.ledger.written[-1].closed_ns == OPEN


def test_every_bucket_ends_with_the_end_of_time_when_the_run_is_final():
    stream = Stream()
    bench = Bench(stream, final=True)
    asyncio.run(bench.run(ScriptedFeed([trades(0, 70)])))
    last = {batch.bucket: batch for batch in stream.batches}
    assert sorted(last) == list(range(BUCKETS))
    assert all(b.watermark_ns == FINAL_WATERMARK and not b.records for b in last.values())
    assert stored_ids(stream) == expected_ids(70)


def test_gaps_are_written_when_opened_closed_and_inherited_though_the_ledger_fails():
    inherited = Gap("us", 5, OPEN, ("trades",), ("*",), STOP)
    bench = Bench(Stream(), Ledger(failures=3), inherited=[inherited])
    opened = GapOpened(10, ("trades",), ("BTC/USD",), "disconnect: reset")

    class Gaps:
        async def run(self, intake: Intake, stop: asyncio.Event) -> None:
            intake.take(Subscribed({}), 7)
            intake.take(opened, 11)
            intake.take(Interrupted("reset"), 11)
            assert intake.status().state == "interrupted"
            intake.take(GapClosed(opened, 12), 12)
            intake.take(Subscribed({"quotes": ("X/Y",)}), 12)
            assert intake.status().missing == {"quotes": ["X/Y"]}

    asyncio.run(bench.run(Gaps()))
    assert bench.ledger.written == [
        Gap("us", 5, 7, ("trades",), ("*",), STOP),
        Gap("us", 10, OPEN, ("trades",), ("BTC/USD",), "disconnect: reset"),
        Gap("us", 10, 12, ("trades",), ("BTC/USD",), "disconnect: reset"),
    ]


@pytest.mark.parametrize(("final", "written"), [(True, 0), (False, 1)])
def test_stop_begins_a_gap_when_it_is_not_the_end_of_time(final, written):
    bench = Bench(Stream(), final=final)

    class Stopping:
        async def run(self, intake: Intake, stop: asyncio.Event) -> None:
            intake.take(GapOpened(10, ("trades",), ("*",), STOP), 11)

    asyncio.run(bench.run(Stopping()))
    assert len(bench.ledger.written) == written


def test_a_run_notes_how_far_it_is_durable_until_it_ends_in_order():
    noted: list[int | None] = []
    bench = Bench(Stream(), note_durable=noted.append)
    asyncio.run(bench.run(ScriptedFeed([trades(0, 3)] * 3)))
    assert noted[-1] is None
    assert None not in noted[:-1]


class Noted:
    """What was noted, as it comes; noting happens in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.queue: asyncio.Queue[int | None] = asyncio.Queue()

    def __call__(self, durable_ns: int | None) -> None:
        self._loop.call_soon_threadsafe(self.queue.put_nowait, durable_ns)


def test_what_is_in_hand_is_never_noted_as_durable():
    received_ns = SystemTime().now_ns()

    async def run() -> list[int | None]:
        noted = Noted()
        bench = Bench(Stream(), note_durable=noted)
        bench.intake.take(Subscribed({}), received_ns)
        bench.intake.take(Records(trades(0, 3)), received_ns)
        noting = asyncio.create_task(bench.intake.keep_noting(every_s=0.001))
        seen = [await noted.queue.get() for _ in range(2)]
        bench.intake.close()
        await noting
        return seen

    assert all(at_ns is not None and at_ns < received_ns for at_ns in asyncio.run(run()))


def test_nothing_is_noted_before_the_gap_after_a_killed_run_is_written():
    async def run() -> list[tuple[int, int]]:
        noted = Noted()
        bench = Bench(Stream(), inherited=[unended_run("us", 5)], note_durable=noted)
        bench.intake.take(Subscribed({}), 9)
        noting = asyncio.create_task(bench.intake.keep_noting(every_s=0.001))
        await asyncio.sleep(0.02)
        assert noted.queue.empty()
        writing = asyncio.create_task(bench.intake.write_gaps())
        await noted.queue.get()
        written = [(gap.opened_ns, gap.closed_ns) for gap in bench.ledger.written]
        bench.intake.close()
        await asyncio.gather(noting, writing)
        return written

    assert asyncio.run(run()) == [(5, 9)]
