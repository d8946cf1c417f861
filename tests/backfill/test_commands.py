"""``tradelake gaps`` and ``tradelake backfill`` against a ledger with something in it."""

from __future__ import annotations

import json

import boto3
import moto
import pytest
from click.testing import CliRunner

from tradelake.adapters.aws.gaps import DynamoGaps
from tradelake.cli import cli
from tradelake.errors import ConfigError
from tradelake.ports import OPEN, ChannelFill, Fill, Gap
from tradelake.topology import names
from tradelake.topology.stores import GAPS

OPENED = 1_710_000_000 * 10**9
GAP = Gap("us", OPENED, OPENED + 1_500_000_000, ("trades", "orderbooks"), ("*",), "407 [slow]")
ONGOING = Gap("us", OPENED + 10**10, OPEN, ("quotes",), ("BTC/USD",), "disconnect")


@pytest.fixture
def ledger(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv(names.ENV_ENVIRONMENT, "test")
    keys = ((GAPS.partition_key, "HASH"), (GAPS.sort_key, "RANGE"))
    with moto.mock_aws():
        boto3.client("dynamodb").create_table(
            TableName=names.physical("test", GAPS.name),
            KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys],
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": "S"} for name, _ in keys
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        yield DynamoGaps(names.physical("test", GAPS.name))


def run(*arguments: str) -> str:
    return CliRunner().invoke(cli, arguments, catch_exceptions=False).output


def test_gaps_says_so_when_there_is_none(ledger):
    assert run("gaps").strip() == "the gap ledger is empty"


def test_gaps_lists_every_channel_with_what_was_done_about_it(ledger):
    filled = ChannelFill(status="filled", fetched={"BTC/USD": 1200, "ETH/USD": 34})
    lost = ChannelFill(status="unrecoverable")
    ledger.record(GAP)
    ledger.record(ONGOING)
    ledger.note_fill(GAP, Fill(channels={"trades": filled, "orderbooks": lost}, epoch=1))
    lines = [json.loads(line) for line in run("gaps", "--json").splitlines()]
    assert [(one["channel"], one["status"], one["fetched"], one["closed_ns"]) for one in lines] == [
        ("trades", "filled", 1234, GAP.closed_ns),
        ("orderbooks", "unrecoverable", 0, GAP.closed_ns),
        ("quotes", "waiting", 0, None),
    ]
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(cli, ["gaps"]).output
    assert "407 [slow]" in shown
    assert "1,234" in shown
    assert "1.5 s" in shown
    assert "open" in shown


def test_backfill_names_a_gap_that_is_not_there(ledger):
    ledger.record(GAP)
    with pytest.raises(ConfigError, match=f"no gap of test opened at {OPENED + 1}"):
        run("backfill", "--gap", str(OPENED), "--gap", str(OPENED + 1))
