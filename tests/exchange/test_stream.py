"""The websocket endpoint, wire level."""

from __future__ import annotations

import asyncio

import pytest

from tradelake.exchange.options import SyntheticOptions

EVERYTHING = ("trades", "quotes", "orderbooks", "bars", "updatedBars", "dailyBars")


@pytest.mark.parametrize(("binary", "compress"), [(False, 0), (True, 0), (False, 15), (True, 15)])
def test_ledger_equals_what_the_client_received_in_every_channel(
    exchange, venue, table_of, recordings, binary, compress
):
    async def scenario():
        async with venue(server) as v, v.stream(binary=binary, compress=compress) as client:
            await client.login()
            return table_of(await v.play(client)), await v.status()

    server = exchange(data=recordings, late_trade_fraction=0.2)
    received, status = asyncio.run(scenario())
    assert received == status["sent"]
    assert set(received) == set(EVERYTHING)
    assert received["trades"] == {"BTC/USD": 200, "ETH/USD": 200}
    assert received["orderbooks"] == {"BTC/USD": 200, "ETH/USD": 200}
    assert received["bars"] == {"BTC/USD": 4, "ETH/USD": 4}
    assert status["total_sent"] == sum(n for row in received.values() for n in row.values())
    assert status["state"] == "finished"
    assert status["progress"] == 1.0


def test_messages_carry_type_first_nanoseconds_and_large_ids(exchange, venue, recordings, t0):
    async def scenario():
        async with venue(server) as v, v.stream() as client:
            await client.login(trades=["BTC/USD"])
            return await v.play(client)

    server = exchange(data=recordings)
    first, second, *_ = asyncio.run(scenario())
    assert list(first) == ["T", "S", "p", "s", "t", "i", "tks"]
    assert first["T"] == "t"
    assert first["t"].endswith(".500000001Z")
    assert first["i"] == 2**60
    assert first["tks"] == "B"
    assert 0 < second["i"] < 2**63


def test_binary_timestamps_are_the_timestamp_extension_exact_to_the_nanosecond(
    exchange, venue, recordings, t0
):
    import msgpack

    async def scenario():
        async with venue(server) as v, v.stream(binary=True) as client:
            await client.login(trades=["BTC/USD"])
            await v.post("start")
            return (await client.ws.receive(timeout=5)).data

    server = exchange(data=recordings, unclean_hold_s=0)
    frame = msgpack.unpackb(asyncio.run(scenario()))
    assert frame[0]["t"].to_unix_nano() == t0 + 500_000_001
    assert next(iter(frame[0])) == "T"


def test_several_messages_share_a_frame(exchange, venue, recordings):
    async def scenario():
        async with venue(server) as v, v.stream() as client:
            await client.login()
            await v.post("start")
            return await client.receive()

    server = exchange(data=recordings, unclean_hold_s=0)
    assert len(asyncio.run(scenario())) == 100


def test_subscriptions_add_up_and_are_acknowledged_with_the_full_state(exchange, venue, recordings):
    async def scenario():
        async with venue(server) as v, v.stream() as client:
            first = await client.login(trades=["BTC/USD"])
            await client.send({"action": "subscribe", "trades": ["ETH/USD"], "bars": ["*"]})
            second = await client.receive()
            await client.send(
                {"action": "unsubscribe", "trades": ["BTC/USD"], "quotes": ["BTC/USD"]}
            )
            return first, second, await client.receive()

    server = exchange(data=recordings)
    empty = {"T": "subscription"} | {channel: [] for channel in EVERYTHING}
    first, second, third = asyncio.run(scenario())
    assert first == [empty | {"trades": ["BTC/USD"]}]
    assert second == [empty | {"trades": ["BTC/USD", "ETH/USD"], "bars": ["*"]}]
    assert third == [empty | {"trades": ["ETH/USD"], "bars": ["*"]}]


def test_client_gets_the_standing_book_first_when_it_subscribes_in_mid_session(
    exchange, venue, recordings
):
    async def scenario():
        async with venue(server) as v, v.stream() as client:
            await client.login(trades=["*"])
            await v.play(client)
            await client.send({"action": "subscribe", "orderbooks": ["BTC/USD"]})
            await client.receive()
            return await client.receive(), await v.status()

    server = exchange(data=recordings)
    [book], status = asyncio.run(scenario())
    assert book["r"] is True
    assert book["b"][0]["p"] >= book["b"][-1]["p"] == 50.0
    assert status["sent"]["orderbooks"] == {"BTC/USD": 1}


def test_headers_authenticate_when_they_carry_the_credentials(exchange, venue, recordings):
    async def scenario(secret):
        headers = {"APCA-API-KEY-ID": "demo-key", "APCA-API-SECRET-KEY": secret}
        async with venue(server) as v, v.stream(**headers) as client:
            return [await client.receive(), await client.receive()]

    server = exchange(data=recordings)
    assert asyncio.run(scenario("demo-secret"))[1] == [{"T": "success", "msg": "authenticated"}]
    assert asyncio.run(scenario("wrong"))[1][0]["code"] == 402


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"action": "subscribe", "trades": ["BTCUSD"]}, 400),
        ({"action": "subscribe", "trades": "BTC/USD"}, 400),
        ({"action": "subscribe", "nonsense": ["BTC/USD"]}, 400),
        ({"action": "dance"}, 400),
        ({"no": "action"}, 400),
        ([1, 2], 400),
        ({"action": "auth", "key": "demo-key", "secret": "demo-secret"}, 403),
        ({"action": "subscribe", "trades": ["BTC/USD", "ETH/USD", "SOL/USD"]}, 405),
        ({"action": "subscribe", "news": ["*"]}, 410),
    ],
)
def test_request_is_refused_with_its_code_and_changes_nothing(
    exchange, venue, recordings, request_, code
):
    async def scenario():
        async with venue(server) as v, v.stream() as client:
            before = await client.login(quotes=["BTC/USD"])
            await client.send(request_)
            refusal = await client.receive()
            await client.send({"action": "subscribe"})
            return refusal, before, await client.receive()

    server = exchange(data=recordings, symbol_limit=3)
    refusal, before, after = asyncio.run(scenario())
    assert refusal[0]["T"] == "error"
    assert refusal[0]["code"] == code
    assert after == before


def test_wildcard_counts_as_every_symbol_of_the_venue(exchange, venue, recordings):
    async def scenario():
        async with venue(server) as v, v.stream() as client:
            return await client.login(quotes=["*"])

    server = exchange(data=recordings, symbol_limit=1)
    assert asyncio.run(scenario())[0]["code"] == 405


def test_broken_bytes_are_answered_400(exchange, venue, recordings):
    async def scenario():
        async with venue(server) as v, v.stream(binary=True) as client:
            await client.login(quotes=["*"])
            await client.ws.send_bytes(b"\xc1\xff")
            return await client.receive()

    server = exchange(data=recordings)
    assert asyncio.run(scenario())[0]["code"] == 400


@pytest.mark.parametrize(
    ("options", "location", "message", "code"),
    [
        ({}, "us", {"action": "auth", "key": "demo-key", "secret": "no"}, 402),
        ({}, "us", {"action": "auth"}, 402),
        ({"auth_timeout_s": 0.1}, "us", None, 404),
        ({"entitled": ("us",)}, "eu-1", {"key": "demo-key", "secret": "demo-secret"}, 409),
    ],
)
def test_client_is_refused_and_disconnected_when_it_may_not_enter(
    exchange, venue, recordings, options, location, message, code
):
    async def scenario():
        async with venue(server) as v, v.stream(location=location) as client:
            await client.receive()
            if message is not None:
                await client.send({"action": "auth"} | message)
            return await client.receive(), await client.receive()

    server = exchange(data=recordings, **options)
    refusal, closed = asyncio.run(scenario())
    assert refusal[0]["code"] == code
    assert closed is None


def test_subscribing_is_refused_with_401_before_authentication(exchange, venue, recordings):
    async def scenario():
        async with venue(server) as v, v.stream() as client:
            await client.receive()
            await client.send({"action": "subscribe", "trades": ["*"]})
            return await client.receive()

    server = exchange(data=recordings)
    assert asyncio.run(scenario())[0]["code"] == 401


def test_second_connection_gets_406_until_the_first_has_closed(exchange, venue, recordings):
    async def scenario():
        async with venue(server) as v:
            async with v.stream() as first:
                await first.login(trades=["*"])
                async with v.stream() as second:
                    await second.receive()
                    await second.send(
                        {"action": "auth", "key": "demo-key", "secret": "demo-secret"}
                    )
                    refusal = await second.receive()
            async with v.stream() as third:
                return refusal, await third.login(trades=["*"])

    server = exchange(data=recordings)
    refusal, acknowledgement = asyncio.run(scenario())
    assert refusal[0]["code"] == 406
    assert acknowledgement[0]["T"] == "subscription"


def test_slot_stays_taken_after_an_unclean_drop(exchange, venue, recordings):
    async def scenario():
        async with venue(server) as v:
            async with v.stream() as first:
                await first.login(trades=["*"])
                await v.post("fault", {"kind": "cut", "how": "abort"})
                assert await first.receive() is None
            async with v.stream() as second:
                await second.receive()
                await second.send({"action": "auth", "key": "demo-key", "secret": "demo-secret"})
                return await second.receive()

    server = exchange(data=recordings, unclean_hold_s=60)
    assert asyncio.run(scenario())[0]["code"] == 406


def test_two_clients_get_the_same_when_the_account_may_have_two(
    exchange, venue, table_of, recordings
):
    async def scenario():
        async with venue(server) as v, v.stream() as one, v.stream(binary=True) as two:
            await one.login()
            await two.login(trades=["*"])
            _, other = (await v.play(one)), await v.drain(two)
            return table_of(other), await v.status()

    server = exchange(data=recordings, connection_limit=2)
    received, status = asyncio.run(scenario())
    assert received == {"trades": {"BTC/USD": 200, "ETH/USD": 200}}
    assert status["sent"]["trades"] == {"BTC/USD": 400, "ETH/USD": 400}
    assert status["sent"]["quotes"] == {"BTC/USD": 200, "ETH/USD": 200}


def test_playback_lasts_about_the_duration_asked_for(exchange, venue, recordings):
    async def scenario():
        async with venue(server) as v, v.stream() as client:
            await client.login()
            loop = asyncio.get_running_loop()
            began, moments = loop.time(), []
            await v.post("start")
            while len(moments) < 1216:
                frame = await client.receive()
                moments += [loop.time() - began] * len(frame)
            return moments

    server = exchange(data=recordings, duration_s=1.0)
    moments = asyncio.run(scenario())
    assert 0.8 < moments[-1] < 3.0
    assert moments[len(moments) // 4] < 0.75 * moments[-1]


def test_playback_waits_for_the_first_subscription_when_asked_to(
    exchange, venue, table_of, recordings
):
    async def scenario():
        async with venue(server) as v, v.stream() as client:
            before = (await v.status())["state"]
            await client.login()
            return before, table_of(await v.drain(client))

    server = exchange(data=recordings, start="subscribed")
    before, received = asyncio.run(scenario())
    assert before == "waiting"
    assert received["quotes"] == {"BTC/USD": 200, "ETH/USD": 200}


def test_client_that_takes_nothing_is_dropped_when_a_limit_is_set(exchange, venue):
    async def scenario():
        async with venue(server) as v, v.stream() as client:
            await client.login()
            await v.post("start")
            status = await v.status()
            for _ in range(400):
                if status["connections"] == 0:
                    break
                await asyncio.sleep(0.05)
                status = await v.status()
            return status

    server = exchange(
        synthetic=SyntheticOptions(hours=2, history_days=0, activity=20), slow_client_s=0.2
    )
    status = asyncio.run(scenario())
    assert (status["state"], status["connections"]) == ("playing", 0)
    assert status["published"] > 0
