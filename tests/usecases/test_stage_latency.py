"""What a stage reports of the time since the receipt."""

from __future__ import annotations

import msgspec
import pytest

from tests.functions.kinesis import StreamInMemory, sequence
from tests.functions.stores import StateInMemory
from tradelake.errors import Transient
from tradelake.market.records import Trade
from tradelake.ports import Delivery, Received
from tradelake.stream.aggregation import Rules
from tradelake.stream.envelope import Batch, encode_batch
from tradelake.topology import metrics, streams
from tradelake.usecases.aggregate import aggregate_records
from tradelake.usecases.deliver import deliver_records
from tradelake.usecases.latency import UNMEASURED, Receipts
from tradelake.usecases.validate import validate_records

T = 1_723_161_600_000_000_000
MS = 1_000_000
RULES = Rules(("1s",), 0)


class Stopped:
    """A clock that stands 200 ms after ``T``."""

    def now_ns(self):
        return T + 200 * MS


class Lake:
    """Takes everything."""

    def deliver(self, stream, batches):
        return {"trades": Delivery(sum(len(batch.records) for batch in batches), 0, 0)}


class Refusing:
    """A stream, or a lake, that is away."""

    def put(self, records):
        raise Transient("away")

    def deliver(self, stream, batches):
        raise Transient("away")


def batch(seq, *ages_ms, lane="live"):
    """A batch of trades that were received so long before the clock stopped."""
    now_ns = Stopped().now_ns()
    trades = [
        Trade("BTC/USD", T, now_ns - round(age * MS), 1000 * seq + at, 61000.0, 0.5)
        for at, age in enumerate(ages_ms)
    ]
    return Batch(lane, "us", 1, 2, seq, T, trades)


def received(*batches):
    return [Received(sequence(i), str(b.bucket), encode_batch(b), T) for i, b in enumerate(batches)]


def validated(given, clock):
    return validate_records(received(*given), StreamInMemory(), StreamInMemory(), clock=clock)


def aggregated(given, clock):
    return aggregate_records(received(*given), StateInMemory(), StreamInMemory(), RULES, clock)


def delivered(given, clock):
    return deliver_records(streams.CLEAN.name, received(*given), Lake(), clock)


def refused_by_clean(given, clock):
    return validate_records(received(*given), Refusing(), StreamInMemory(), clock=clock)


def refused_by_bars(given, clock):
    late = msgspec.structs.replace(batch(99), watermark_ns=T + 10_000 * MS)
    return aggregate_records(received(*given, late), StateInMemory(), Refusing(), RULES, clock)


def refused_by_lake(given, clock):
    return deliver_records(streams.CLEAN.name, received(*given), Refusing(), clock)


STAGES = pytest.mark.parametrize("stage", [validated, aggregated, delivered])


@STAGES
def test_stage_reports_the_time_since_receipt_weighted_by_records(stage):
    found = stage([batch(0, *[10.0] * 98), batch(1, 50.0), batch(2, 150.0)], Stopped()).latency_ms
    assert found.p50 == pytest.approx(10, rel=0.03)
    assert found.p99 == pytest.approx(50, rel=0.03)
    assert found.p999 == pytest.approx(150, rel=0.03)


@STAGES
def test_stage_takes_the_receipt_of_a_batchs_first_record_for_all(stage):
    found = stage([batch(0, 20.0, 15.0, 1.0)], Stopped()).latency_ms
    assert found.p50 == found.p999 == pytest.approx(20, rel=0.03)


@STAGES
@pytest.mark.parametrize("given", [[batch(0)], [batch(0, 10.0, lane="backfill")], []])
def test_stage_measures_nothing_when_no_live_record_came(stage, given):
    assert stage(given, Stopped()).latency_ms == UNMEASURED


@STAGES
def test_stage_measures_nothing_when_it_has_no_clock(stage):
    assert stage([batch(0, 10.0)], None).latency_ms == UNMEASURED


@pytest.mark.parametrize("stage", [refused_by_clean, refused_by_bars, refused_by_lake])
def test_stage_measures_nothing_when_its_work_is_to_be_done_again(stage):
    outcome = stage([batch(0, 10.0)], Stopped())
    assert outcome.failed_from is not None
    assert outcome.latency_ms == UNMEASURED


def test_delivery_measures_nothing_of_bars_since_nobody_sent_them():
    given = received(batch(0, 10.0))
    assert deliver_records(streams.BARS.name, given, Lake(), Stopped()).latency_ms == UNMEASURED


def test_a_receipt_after_now_counts_as_no_time_when_the_clock_was_set_back():
    receipts = Receipts()
    receipts.add(batch(0, -5_000.0))
    assert receipts.elapsed(Stopped()).p50 == pytest.approx(0.01)


@STAGES
def test_stages_latencies_are_metrics_of_its_component(stage):
    component = {validated: "validate", aggregated: "aggregate", delivered: "deliver"}[stage]
    report = msgspec.to_builtins(stage([batch(0, 10.0)], Stopped()))
    fields = {item.field for item in metrics.of_component(component)}
    assert {f"latency_ms.{name}" for name in report["latency_ms"]} <= fields
