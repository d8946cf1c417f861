"""The venue's assets: what the unmodified SDK and our adapter read, and what changes do."""

from __future__ import annotations

import asyncio
import warnings

import aiohttp
import pytest

from tradelake.adapters.alpaca.assets import AlpacaAssets
from tradelake.errors import Fatal, InvalidData, Throttled, Transient
from tradelake.exchange.assets import Listing
from tradelake.exchange.publication import Message
from tradelake.exchange.tape import Tape
from tradelake.feed.universe import Asset, diff
from tradelake.market.records import BookUpdate, Trade

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # alpaca-py imports websockets.legacy
    from alpaca.common.exceptions import APIError
    from alpaca.trading.client import TradingClient
    from alpaca.trading.enums import AssetClass, AssetExchange, AssetStatus
    from alpaca.trading.requests import GetAssetsRequest

KEYS = ("demo-key", "demo-secret")


def order(server, **body) -> tuple[int, object]:
    async def post() -> tuple[int, object]:
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{server.url}/_exchange/assets", json=body) as response,
        ):
            return response.status, await response.json()

    return asyncio.run(post())


def adapter(server, *keys: str) -> AlpacaAssets:
    return AlpacaAssets(*(keys or KEYS), url=server.url)


@pytest.fixture
def closing():
    """Close the sockets of SDK clients, which never do."""
    clients: list[TradingClient] = []
    yield lambda client: clients.append(client) or client
    for client in clients:
        client._session.close()


@pytest.fixture
def assets_of(closing):
    def read(server, *keys: str) -> list[Asset]:
        source = adapter(server, *keys)
        closing(source._client)
        return list(source.crypto_assets())

    return read


def test_unmodified_trading_client_reads_assets(exchange, recordings, closing):
    server = exchange(data=recordings)
    client = closing(TradingClient(*KEYS, url_override=server.url))
    order(server, action="delist", symbol="ETH/USD")
    every = client.get_all_assets(GetAssetsRequest(asset_class=AssetClass.CRYPTO))
    active = client.get_all_assets(GetAssetsRequest(status=AssetStatus.ACTIVE))
    one = client.get_asset("BTC/USD")
    assert [asset.symbol for asset in every] == ["BTC/USD", "ETH/USD"]
    assert active == [one]
    assert (one.exchange, one.tradable) == (AssetExchange.CRYPTO, True)
    assert (one.min_trade_increment, one.price_increment) == (1e-9, 1e-9)
    assert client.get_asset(one.id) == client.get_asset("BTCUSD") == one
    with pytest.raises(APIError, match="asset not found for NO/USD"):
        client.get_asset("NO/USD")


def test_adapter_keeps_decimals_as_the_venue_wrote_them(exchange, recordings, assets_of):
    bitcoin, _ = assets_of(exchange(data=recordings))
    assert (bitcoin.symbol, bitcoin.status, bitcoin.tradable) == ("BTC/USD", "active", True)
    assert bitcoin.min_trade_increment == "0.000000001"


def test_adapter_and_diff_see_every_change_the_venue_makes(exchange, recordings, assets_of):
    server = exchange(data=recordings)
    seen = []
    before = assets_of(server)
    for body in (
        {"action": "halt", "symbol": "BTC/USD"},
        {"action": "resume", "symbol": "BTC/USD"},
        {"action": "change", "symbol": "BTC/USD", "terms": {"price_increment": "0.5"}},
        {"action": "delist", "symbol": "ETH/USD"},
        {"action": "list", "symbol": "ETH/USD"},
        {"action": "list", "symbol": "NEW/USD"},
        {"action": "rename", "symbol": "BTC/USD", "to": "XBT/USD"},
    ):
        assert order(server, **body)[0] == 200
        after = assets_of(server)
        seen += [(event.symbol, event.event) for event in diff(before, after, 1)]
        before = after
    assert seen == [
        ("BTC/USD", "halted"),
        ("BTC/USD", "resumed"),
        ("BTC/USD", "changed"),
        ("ETH/USD", "delisted"),
        ("ETH/USD", "listed"),
        ("NEW/USD", "listed"),
        ("BTC/USD", "renamed"),
        ("XBT/USD", "listed"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"action": "halt", "symbol": "NO/USD"},
        {"action": "list", "symbol": "BTC/USD"},
        {"action": "rename", "symbol": "BTC/USD", "to": "ETH/USD"},
        {"action": "rename", "symbol": "BTC/USD"},
        {"action": "explode", "symbol": "BTC/USD"},
        {"action": "change", "symbol": "BTC/USD", "terms": {"tradable": "no"}},
        {"action": "halt"},
        {"action": "halt", "symbol": "btcusd"},
    ],
)
def test_an_order_that_makes_no_sense_is_refused_and_changes_nothing(
    exchange, recordings, assets_of, body
):
    server = exchange(data=recordings)
    before = assets_of(server)
    assert order(server, **body)[0] == 400
    assert assets_of(server) == before


def test_adapter_translates_what_the_venue_refuses(exchange, recordings, assets_of, tmp_path):
    server = exchange(data=recordings, rate_limit=1)
    with pytest.raises(Fatal, match="403"):
        assets_of(server, "wrong", "keys")
    assets_of(server)
    with pytest.raises(Throttled, match="429"):
        assets_of(server)


def test_adapter_says_transient_when_nobody_answers(closing):
    source = AlpacaAssets(*KEYS, url="http://127.0.0.1:9", timeouts_s=(0.5, 0.5))
    closing(source._client)
    with pytest.raises(Transient, match="assets"):
        source.crypto_assets()


def test_subscribing_a_delisted_symbol_is_refused_and_its_messages_stop(
    exchange, recordings, venue
):
    async def scenario() -> None:
        server = exchange(data=recordings)
        async with venue(server) as v, v.stream() as client:
            await client.login(trades=["*"])
            await v.post("assets", {"action": "delist", "symbol": "ETH/USD"})
            await client.send({"action": "subscribe", "quotes": ["ETH/USD"]})
            assert (await client.receive())[0]["code"] == 400
            messages = await v.play(client)
            assert {message["S"] for message in messages} == {"BTC/USD"}
            assert "ETH/USD" not in (await v.status())["sent"]["trades"]

    asyncio.run(scenario())


def test_a_renamed_symbols_messages_go_on_under_the_new_one(exchange, recordings, venue):
    async def scenario() -> None:
        server = exchange(data=recordings)
        async with venue(server) as v, v.stream() as client:
            await client.login(trades=["*"], bars=["*"])
            await v.post("assets", {"action": "rename", "symbol": "BTC/USD", "to": "XBT/USD"})
            await client.send({"action": "subscribe", "quotes": ["BTC/USD"]})
            assert (await client.receive())[0]["code"] == 400
            messages = await v.play(client)
            trades = [m for m in messages if m["T"] == "t"]
            assert {message["S"] for message in messages} == {"XBT/USD", "ETH/USD"}
            assert sum(message["S"] == "XBT/USD" for message in trades) == 200

    asyncio.run(scenario())


def test_a_renamed_book_stands_under_the_new_symbol():
    tape = Tape(100)
    tape.add(("orderbooks", "A/USD"), BookUpdate("A/USD", 5, 5, [(1.0, 2.0)], [(2.0, 3.0)], True))
    listing = Listing(["A/USD"], tape)
    listing.rename("A/USD", "B/USD")
    book = tape.book("B/USD")
    assert book is not None
    assert (book.symbol, book.bids, book.reset) == ("B/USD", [(1.0, 2.0)], True)


def test_renames_chain_and_may_lead_back():
    listing = Listing(["A/USD"], Tape(100))
    listing.rename("A/USD", "B/USD")
    listing.rename("B/USD", "C/USD")
    message = Message(1, ("trades", "A/USD"), Trade("A/USD", 1, 1, 1, 1.0, 1.0))
    assert [m.key for m in listing.publishable([message])] == [("trades", "C/USD")]
    listing.rename("C/USD", "A/USD")
    assert listing.publishable([message])[0].key == ("trades", "A/USD")
    assert [listing.refused(symbol) for symbol in ("A/USD", "B/USD", "C/USD")] == [
        False,
        True,
        True,
    ]


def test_an_asset_that_takes_a_freed_symbol_has_an_id_of_its_own():
    listing = Listing(["A/USD"], Tape(100))
    listing.rename("A/USD", "B/USD")
    listing.enlist("A/USD")
    assert len({asset.asset_id for asset in listing.assets()}) == 2
    with pytest.raises(InvalidData, match="is not"):
        listing.rename("A/USD", "B/USD")


def _published(listing: Listing, *symbols: str) -> list[str]:
    messages = [Message(1, ("trades", s), Trade(s, 1, 1, 1, 1.0, 1.0)) for s in symbols]
    return [message.key[1] for message in listing.publishable(messages)]


def test_each_assets_messages_stay_its_own_when_a_name_is_used_again():
    listing = Listing(["A/USD", "B/USD"], Tape(100))
    listing.rename("A/USD", "C/USD")
    listing.rename("B/USD", "A/USD")
    assert _published(listing, "A/USD", "B/USD") == ["C/USD", "A/USD"]
    listing.rename("C/USD", "B/USD")
    assert _published(listing, "A/USD", "B/USD") == ["B/USD", "A/USD"]
    assert [listing.refused(symbol) for symbol in ("A/USD", "B/USD", "C/USD")] == [
        False,
        False,
        True,
    ]


def test_a_new_pair_takes_no_messages_of_one_that_only_passed_through_its_name():
    listing = Listing(["A/USD"], Tape(100))
    listing.rename("A/USD", "B/USD")
    listing.rename("B/USD", "C/USD")
    listing.enlist("B/USD")
    assert _published(listing, "A/USD") == ["C/USD"]


def test_ids_stay_apart_when_a_freed_symbol_is_listed_over_and_over():
    listing = Listing(["A/USD"], Tape(100))
    for name in ("B/USD", "C/USD", "D/USD"):
        listing.rename("A/USD", name)
        listing.enlist("A/USD")
    assert len({asset.asset_id for asset in listing.assets()}) == 4


def test_a_rename_that_a_watcher_refuses_was_not_made():
    listing = Listing(["A/USD"], Tape(100))

    def refuse(_asset):
        raise InvalidData("assets", "no")

    listing.watch(refuse)
    with pytest.raises(InvalidData, match="no"):
        listing.rename("A/USD", "B/USD")
    assert [asset.symbol for asset in listing.assets()] == ["A/USD"]
    assert _published(listing, "A/USD") == ["A/USD"]
