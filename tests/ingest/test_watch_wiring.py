"""Settings -> the stage that keeps books and the watch over the universe."""

from __future__ import annotations

import json

import boto3
import moto
import pytest

from tradelake.bootstrap.ingester import _wire_books, _wire_universe
from tradelake.errors import ConfigError
from tradelake.feed.subscription import Change, Subscription
from tradelake.market.records import BookSnapshot, BookUpdate
from tradelake.settings import IngesterSettings, load_settings
from tradelake.topology import names

T0 = 1_700_000_000_000_000_000
BASE = {names.ENV_ENVIRONMENT: "test", names.ENV_FEED_URL: "ws://127.0.0.1:9/crypto"}


def settings(**values: str) -> IngesterSettings:
    return load_settings(
        BASE | {getattr(names, name): v for name, v in values.items()}, IngesterSettings
    )


def update(bid: float, *, reset: bool = False) -> BookUpdate:
    return BookUpdate("BTC/USD", T0, T0, [(bid, 1.0), (bid / 2, 1.0)], [(10.0, 1.0)], reset)


def test_books_are_kept_at_the_depth_and_interval_of_the_settings():
    asked: list[Change] = []
    keeper = _wire_books(settings(ENV_BOOK_DEPTH="1", ENV_BOOK_SNAPSHOT_S="0.5"), asked.append)
    assert keeper is not None
    keeper.process([update(9.0, reset=True)], T0)
    (snapshot,) = keeper.process([], T0 + 500_000_000)
    assert isinstance(snapshot, BookSnapshot)
    assert len(snapshot.bids) == 1
    keeper.process([update(11.0)], T0 + 500_000_000)
    assert asked == [Change(renew=Subscription(("orderbooks",), ("BTC/USD",)))]


@pytest.mark.parametrize(
    "values", [{"ENV_BOOK_SNAPSHOT_S": "0"}, {"ENV_CHANNELS": "trades,quotes"}]
)
def test_no_books_are_kept_when_nobody_wants_or_sends_any(values):
    assert _wire_books(settings(**values), lambda _: None) is None


@pytest.mark.parametrize(
    "values", [{"ENV_BOOK_DEPTH": "0"}, {"ENV_BOOK_SNAPSHOT_S": "-1"}, {"ENV_UNIVERSE_S": "-1"}]
)
def test_settings_refuse_what_is_impossible(values):
    with pytest.raises(ConfigError, match="expected snapshots every 0 s or more"):
        settings(**values)


@pytest.fixture
def secret(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with moto.mock_aws():
        boto3.client("secretsmanager").create_secret(
            Name=names.physical("test", names.ALPACA_SECRET),
            SecretString=json.dumps({"key": "k", "secret": "s"}),
        )
        yield


def test_universe_is_watched_unless_it_is_switched_off(secret):
    assert _wire_universe(settings(ENV_UNIVERSE_S="0")) is None
    watch = _wire_universe(settings(ENV_TRADING_URL="http://127.0.0.1:9"))
    assert watch is not None
    assert watch.status().events == {}
