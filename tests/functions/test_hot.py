"""The hot function's use case: bars into the hot store, harmless when repeated."""

from tests.functions.kinesis import sequence
from tradelake.adapters.embedded.hot import SqliteHotStore
from tradelake.errors import Transient
from tradelake.market.records import Bar, Trade
from tradelake.ports import Received
from tradelake.stream.envelope import Batch, encode_batch
from tradelake.usecases.hot import upsert_records

DAY = 1_723_075_200_000_000_000


def bar(minute, revision=1):
    at = DAY + minute * 60_000_000_000
    prices = {"open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1.0, "vwap": 1.0}
    more = {"trades": revision, "timeframe": "1m", "source": "tradelake", "channel": "aggregate"}
    return Bar(symbol="BTC/USD", ts_event=at, ts_ingest=at, **prices, **more, revision=revision)


def received(*records, venue="us", seq=0):
    batch = Batch("live", venue, 1, 0, seq, DAY, list(records))
    return Received(sequence(seq), "0", encode_batch(batch))


class Away:
    def upsert_bars(self, venue, bars):
        raise Transient(f"{venue} is away")


def test_bars_are_stored_by_venue_and_may_be_handed_over_again(tmp_path):
    store = SqliteHotStore(tmp_path / "hot.db")
    given = [
        received(bar(0), bar(1), seq=0),
        received(bar(0, revision=2), seq=1),
        received(bar(0), venue="us-1", seq=2),
    ]
    outcome = upsert_records(given, store)
    again = upsert_records(given[:1], store)
    assert (outcome.batches, outcome.bars, outcome.failed_from) == (3, 4, None)
    assert again.bars == 2
    found = store.recent_bars("BTC/USD", "1m", 10)
    assert found == [bar(0), bar(0, revision=2), bar(1)]


def test_what_is_no_bar_or_no_batch_is_passed_over(tmp_path):
    store = SqliteHotStore(tmp_path / "hot.db")
    trade = Trade("BTC/USD", DAY, DAY, 1, 1.0, 1.0)
    outcome = upsert_records([Received("1", "0", b"?"), received(trade, bar(0))], store)
    assert (outcome.unreadable, outcome.bars) == (1, 1)
    assert store.recent_bars("BTC/USD", "1m", 10) == [bar(0)]


def test_everything_is_handed_over_again_when_the_store_is_away():
    outcome = upsert_records([received(bar(0))], Away())
    assert (outcome.failed_from, outcome.failure) == (0, "us is away")


def test_bars_are_counted_only_when_there_is_no_store():
    assert upsert_records([received(bar(0))], None).bars == 1
