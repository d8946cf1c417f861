"""What every GapLedger keeps to, in memory and on DynamoDB."""

from __future__ import annotations

from dataclasses import replace

import boto3
import moto
import msgspec
import pytest

from tests.backfill.fakes import Ledger
from tradelake.adapters.aws.gaps import DynamoGaps
from tradelake.errors import Conflict, Fatal
from tradelake.ports import NOTHING_FILLED, OPEN, ChannelFill, Fill, Gap
from tradelake.topology.stores import GAPS

LATE = Gap("us", 1_710_000_000_000_000_001, OPEN, ("trades", "quotes"), ("*",), "disconnect")
EARLY = Gap("us-1", 99, 100, ("bars",), ("BTC/USD", "ETH/USD"), "slow client (407)")
FILLING = Fill(
    channels={"trades": ChannelFill(status="filling", cursor='["a",1]', fetched={"BTC/USD": 3})},
    epoch=4,
    last_seq={"3": 7, "11": 0},
)


@pytest.fixture
def dynamodb(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    keys = ((GAPS.partition_key, "HASH"), (GAPS.sort_key, "RANGE"))
    with moto.mock_aws():
        boto3.client("dynamodb").create_table(
            TableName=GAPS.name,
            KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys],
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": "S"} for name, _ in keys
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        yield DynamoGaps(GAPS.name)


@pytest.fixture(params=["memory", "dynamodb"])
def ledger(request):
    return Ledger() if request.param == "memory" else request.getfixturevalue("dynamodb")


def test_gaps_come_back_oldest_first(ledger):
    for gap in (LATE, EARLY):
        ledger.record(gap)
    assert ledger.gaps() == [EARLY, LATE]


def test_a_gap_is_closed_by_recording_it_again(ledger):
    ledger.record(LATE)
    closed = replace(LATE, closed_ns=LATE.opened_ns + 5)
    ledger.record(closed)
    assert ledger.gaps() == [closed]


def test_gaps_that_open_at_once_are_apart_when_their_causes_differ(ledger):
    other = replace(LATE, cause="x" * 3000)
    ledger.record(LATE)
    ledger.record(other)
    assert sorted(ledger.gaps(), key=lambda gap: gap.cause) == [LATE, other]


def test_a_fill_is_kept_when_the_gap_is_recorded_again(ledger):
    ledger.record(LATE)
    ledger.note_fill(LATE, FILLING)
    closed = replace(LATE, closed_ns=LATE.opened_ns + 5)
    ledger.record(closed)
    assert ledger.gaps() == [replace(closed, fill=FILLING)]


def test_a_fill_is_replaced_by_who_names_the_one_before(ledger):
    ledger.record(LATE)
    ledger.note_fill(LATE, FILLING)
    (read,) = ledger.gaps()
    done = Fill(channels={"trades": ChannelFill(status="filled")}, epoch=5, settled=True)
    ledger.note_fill(read, done)
    assert ledger.gaps()[0].fill == done


@pytest.mark.parametrize("named", [NOTHING_FILLED, replace(LATE, fill=Fill(epoch=9)).fill])
def test_a_note_conflicts_and_changes_nothing_when_the_fill_is_another(ledger, named):
    ledger.record(LATE)
    ledger.note_fill(LATE, FILLING)
    with pytest.raises(Conflict):
        ledger.note_fill(replace(LATE, fill=named), Fill(epoch=10))
    assert ledger.gaps()[0].fill == FILLING


def test_a_note_about_a_gap_that_was_never_recorded_makes_none(ledger):
    with pytest.raises(Conflict):
        ledger.note_fill(LATE, FILLING)
    assert ledger.gaps() == []


def test_a_fill_is_the_same_whatever_the_order_of_its_parts(ledger):
    ledger.record(LATE)
    ledger.note_fill(LATE, FILLING)
    turned = Fill(
        channels=FILLING.channels, epoch=4, last_seq=dict(reversed(FILLING.last_seq.items()))
    )
    ledger.note_fill(replace(LATE, fill=turned), Fill(epoch=5))
    assert ledger.gaps()[0].fill == Fill(epoch=5)


def test_a_fill_keeps_the_positions_of_interrupted_runs(ledger):
    resumed = Fill(epoch=5, last_seq={"3": 1}, earlier={4: {"3": 7, "11": 0}})
    ledger.record(LATE)
    ledger.note_fill(LATE, resumed)
    (read,) = ledger.gaps()
    assert read.fill == resumed
    assert set(read.fill.positions()) == {(4, "3", 7), (4, "11", 0), (5, "3", 1)}
    ledger.note_fill(read, FILLING)
    assert ledger.gaps()[0].fill == FILLING


def test_a_fill_in_dynamodb_has_no_earlier_epochs_when_there_were_none(dynamodb):
    dynamodb.record(LATE)
    dynamodb.note_fill(LATE, FILLING)
    [item] = boto3.client("dynamodb").scan(TableName=GAPS.name)["Items"]
    fields = {name: getattr(FILLING, name) for name in ("channels", "epoch", "last_seq", "settled")}
    assert bytes(item["fill"]["B"]) == msgspec.json.encode(fields, order="deterministic")


def test_dynamodb_errors_are_ours_when_the_table_is_absent(dynamodb):
    with pytest.raises(Fatal, match="ResourceNotFound"):
        DynamoGaps("absent").record(LATE)
