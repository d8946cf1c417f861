"""The REST endpoints, and paging."""

from __future__ import annotations

import asyncio
from bisect import bisect_right

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradelake.errors import InvalidData
from tradelake.exchange.barstore import aggregate, parse_timeframe
from tradelake.exchange.options import SyntheticOptions
from tradelake.exchange.paging import Cursor, page, parse_token
from tradelake.exchange.ratelimit import RateLimit
from tradelake.exchange.source import BarColumns
from tradelake.exchange.wire import Rfc3339, parse_timestamp

SECOND = 1_000_000_000


class ListedRows:
    """Rows whose body says which they are."""

    def __init__(self, symbol, ts_ns):
        self.symbol, self.ts_ns = symbol, ts_ns

    def bodies(self, first, stop):
        return [{"row": (self.symbol, row)} for row in range(first, stop)]


@given(
    stamps=st.dictionaries(
        st.sampled_from(["AAA/USD", "BBB/USD", "CCC/USD"]),
        st.lists(st.integers(0, 5), max_size=12).map(sorted),
    ),
    limit=st.integers(1, 7),
    descending=st.booleans(),
)
def test_pages_are_complete_and_do_not_overlap_however_they_are_cut(stamps, limit, descending):
    rows = {symbol: ListedRows(symbol, ts) for symbol, ts in stamps.items()}
    found, after, pages = [], None, 0
    while True:
        cut = page(list(stamps), rows.__getitem__, limit=limit, descending=descending, after=after)
        served = [body["row"] for bodies in cut.rows.values() for body in bodies]
        assert len(served) <= limit
        found += served
        pages += 1
        if cut.next is None:
            break
        assert len(served) == limit
        after = parse_token(cut.next.token())
    expected = [
        (symbol, row)
        for symbol in sorted(stamps)
        for row in (reversed if descending else iter)(range(len(stamps[symbol])))
    ]
    assert found == expected
    assert pages == max(1, -(-len(expected) // limit))


def test_page_goes_on_right_when_a_row_of_the_same_instant_was_added(t0):
    rows = {"A/USD": ListedRows("A/USD", [1, 2, 2])}
    first = page(["A/USD"], rows.__getitem__, limit=2)
    rows["A/USD"].ts_ns.insert(bisect_right(rows["A/USD"].ts_ns, 2), 2)
    second = page(["A/USD"], rows.__getitem__, limit=5, after=first.next)
    assert [body["row"][1] for body in second.rows["A/USD"]] == [2, 3]


@pytest.mark.parametrize("text", ["", "x", "é", "QUJD"])
def test_token_of_somebody_else_is_refused(text):
    with pytest.raises(InvalidData, match="page_token"):
        parse_token(text)
    assert parse_token(Cursor("A/USD", 5, 1).token()) == Cursor("A/USD", 5, 1)


@given(st.integers(0, 4_000_000_000 * SECOND))
def test_timestamp_survives_formatting_and_parsing(ts_ns):
    text = Rfc3339()(ts_ns)
    assert parse_timestamp(text) == ts_ns
    assert not text.rstrip("Z").endswith("0") or "." not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-02", 86_400 * SECOND),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:01", SECOND),
        ("1970-01-01 00:00:01.5Z", 1_500_000_000),
    ],
)
def test_timestamp_may_be_a_date_or_have_a_zone(text, expected):
    assert parse_timestamp(text) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "2024-13-01", "2024-01-01T25:00:00Z"])
def test_timestamp_is_refused_when_it_is_none(text):
    with pytest.raises(InvalidData, match="timestamp"):
        parse_timestamp(text)


@pytest.mark.parametrize("text", ["", "0Min", "60Min", "24Hour", "2Day", "1Month", "Min"])
def test_timeframe_is_refused_when_alpaca_has_none_such(text):
    with pytest.raises(InvalidData, match="timeframe"):
        parse_timeframe(text)


def test_week_starts_on_monday():
    monday = parse_timestamp("2024-08-05")
    assert parse_timeframe("1Week").open_of(parse_timestamp("2024-08-08T12:00:00Z")) == monday


@given(st.integers(1, 500), st.sampled_from(["5Min", "15Min", "1Hour", "1Day"]))
def test_aggregated_bars_keep_volume_extremes_and_edges(count, timeframe):
    rng = np.random.default_rng(count)
    low, high = rng.uniform(1, 2, count), rng.uniform(3, 4, count)
    minutes = BarColumns(
        ts_ns=np.sort(rng.choice(5000, count, replace=False)).astype(np.int64) * 60 * SECOND,
        open=rng.uniform(2, 3, count),
        high=high,
        low=low,
        close=rng.uniform(2, 3, count),
        volume=rng.uniform(0, 1, count),
        trades=rng.integers(0, 9, count),
        vwap=rng.uniform(2, 3, count),
    )
    bars = aggregate(minutes, parse_timeframe(timeframe))
    assert bars.volume.sum() == pytest.approx(minutes.volume.sum())
    assert bars.trades.sum() == minutes.trades.sum()
    assert (bars.high.max(), bars.low.min()) == (high.max(), low.min())
    assert (bars.open[0], bars.close[-1]) == (minutes.open[0], minutes.close[-1])
    assert np.all(np.diff(bars.ts_ns) > 0)
    assert np.all((bars.vwap >= 2) & (bars.vwap <= 3))


def _requests(exchange, venue, recordings, *queries, **options):
    async def scenario():
        async with venue(server) as v:
            answers = []
            for path, query in queries:
                async with v.http.get(f"{server.rest}/{path}", params=query) as response:
                    answers.append((response.status, response.headers, await response.json()))
            return answers

    server = exchange(data=recordings, **options)
    return asyncio.run(scenario())


def test_bars_come_by_symbol_then_time_inclusive_of_both_ends(exchange, venue, recordings, t0):
    stamp = Rfc3339()
    query = {
        "symbols": "ETH/USD,BTC/USD",
        "timeframe": "1Min",
        "start": stamp(t0 - 120 * SECOND),
        "end": stamp(t0 - 60 * SECOND),
    }
    [(status, _, body)] = _requests(exchange, venue, recordings, ("bars", query))
    assert status == 200
    assert list(body["bars"]) == ["BTC/USD", "ETH/USD"]
    assert [bar["t"] for bar in body["bars"]["BTC/USD"]] == [query["start"], query["end"]]
    assert body["next_page_token"] is None
    assert set(body["bars"]["BTC/USD"][0]) == set("tohlcvn") | {"vw"}


def test_bars_of_one_series_never_mix_venues_and_the_first_file_wins(
    exchange, venue, recordings, t0
):
    query = {"symbols": "BTC/USD", "timeframe": "1Min", "limit": 10_000}
    [(_, _, body)] = _requests(exchange, venue, recordings, ("bars", query))
    bars = body["bars"]["BTC/USD"]
    assert len(bars) == 3000
    assert bars[0]["t"] == Rfc3339()(t0 - 3000 * 60 * SECOND)
    assert bars[1999]["o"] < 1100 < bars[2000]["o"]
    empty = [bar for bar in bars if bar["v"] == 0]
    assert all(bar["vw"] == 0 for bar in empty)
    assert all(bar["l"] <= bar["vw"] <= bar["h"] for bar in bars if bar["v"])


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("bars", {"timeframe": "1Min"}),
        ("bars", {"symbols": "BTCUSD", "timeframe": "1Min"}),
        ("bars", {"symbols": "BTC/USD"}),
        ("bars", {"symbols": "BTC/USD", "timeframe": "1Min", "limit": "10001"}),
        ("bars", {"symbols": "BTC/USD", "timeframe": "1Min", "limit": "0"}),
        ("bars", {"symbols": "BTC/USD", "timeframe": "1Min", "start": "soon"}),
        ("bars", {"symbols": "BTC/USD", "timeframe": "1Min", "page_token": "x"}),
        ("trades", {"symbols": "BTC/USD", "sort": "up"}),
        ("quotes", {"symbols": "BTC/USD", "start": "2024-01-02", "end": "2024-01-01"}),
        ("latest/trades", {}),
    ],
)
def test_bad_request_is_answered_400_with_a_reason(exchange, venue, recordings, path, query):
    [(status, _, body)] = _requests(exchange, venue, recordings, (path, query))
    assert status == 400
    assert body["message"]


def test_unknown_symbol_has_no_rows(exchange, venue, recordings):
    query = {"symbols": "NO/USD", "timeframe": "1Day"}
    [(status, _, body)] = _requests(exchange, venue, recordings, ("bars", query))
    assert (status, body) == (200, {"bars": {}, "next_page_token": None})


def test_requests_over_the_limit_get_429_with_the_headers(exchange, venue, recordings):
    ask = ("latest/trades", {"symbols": "BTC/USD"})
    answers = _requests(exchange, venue, recordings, *[ask] * 5, rate_limit=2)
    codes = [status for status, _, _ in answers]
    assert codes[0] == 200
    assert 429 in codes  # even when a minute begins in between, four at most are admitted
    assert all(headers["X-RateLimit-Limit"] == "2" for _, headers, _ in answers)


def test_rate_limit_counts_anew_in_every_minute():
    now = [600.0]
    limit = RateLimit(2, lambda: now[0])
    assert [limit.admit("key")[0] for _ in range(3)] == [True, True, False]
    assert limit.admit("other")[0]
    now[0] = 660.0
    admitted, headers = limit.admit("key")
    assert admitted
    assert headers["X-RateLimit-Remaining"] == "1"
    assert headers["X-RateLimit-Reset"] == "720"


def test_wrong_key_is_forbidden_and_none_is_admitted(exchange, venue, recordings):
    async def scenario():
        async with venue(server) as v:
            headers = {"APCA-API-KEY-ID": "no", "APCA-API-SECRET-KEY": "no"}
            url = f"{server.rest}/latest/bars?symbols=BTC/USD"
            async with v.http.get(url, headers=headers) as wrong, v.http.get(url) as none:
                return wrong.status, none.status

    server = exchange(data=recordings)
    assert asyncio.run(scenario()) == (403, 200)


def test_published_trades_and_quotes_are_served_over_pages(exchange, venue, recordings, t0):
    async def scenario(sort):
        async with venue(server) as v, v.stream() as client:
            await client.login(trades=["*"])
            await v.play(client)
            rows, token = [], ""
            while token is not None:
                query = {"symbols": "BTC/USD", "limit": 33, "sort": sort}
                answer = await v.get("trades", **query, **({"page_token": token} if token else {}))
                rows += answer["trades"]["BTC/USD"]
                token = answer["next_page_token"]
            return rows

    server = exchange(data=recordings, unclean_hold_s=0)
    up, down = asyncio.run(scenario("asc")), asyncio.run(scenario("desc"))
    assert len({row["i"] for row in up}) == 200
    assert up == down[::-1]


def test_venue_bars_replace_history_where_both_have_a_minute(exchange, venue, recordings, t0):
    async def scenario():
        async with venue(server) as v, v.stream() as client:
            await client.login(bars=["BTC/USD"])
            bars = await v.play(client)
            return bars, await v.get("bars", symbols="BTC/USD", timeframe="1Min", sort="desc")

    server = exchange(data=recordings)
    streamed, body = asyncio.run(scenario())
    latest = body["bars"]["BTC/USD"][: len(streamed)][::-1]
    assert [bar | {"T": "b", "S": "BTC/USD"} for bar in latest] == streamed


@pytest.mark.data
def test_recorded_bars_fill_a_page_across_symbols(exchange, venue, recorded_data):
    async def scenario():
        async with venue(server) as v:
            query = {"symbols": "BTC/USDT,ETH/USDT", "timeframe": "1Min", "limit": 10_000}
            return await v.get("bars", start="2024-08-03", end="2024-08-08T23:59:00Z", **query)

    server = exchange(data=recorded_data)
    body = asyncio.run(scenario())
    assert {symbol: len(rows) for symbol, rows in body["bars"].items()} == {
        "BTC/USDT": 8640,
        "ETH/USDT": 1360,
    }
    assert body["next_page_token"]


def test_synthetic_history_ends_where_the_playback_begins(exchange, venue):
    async def scenario():
        async with venue(server) as v:
            query = {"symbols": "BTC/USD,SOL/USD", "timeframe": "1Day", "limit": 1000}
            return (await v.get("bars", **query))["bars"]

    server = exchange(synthetic=SyntheticOptions(symbols=3, history_days=20))
    bars = asyncio.run(scenario())
    assert {symbol: len(rows) for symbol, rows in bars.items()} == {"BTC/USD": 20, "SOL/USD": 20}
    assert bars["BTC/USD"][-1]["t"] == "2025-06-01T00:00:00Z"
