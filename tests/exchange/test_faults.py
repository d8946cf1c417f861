"""Faults injected while the exchange runs."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest

from tradelake.exchange.journal import Outcome, read_journal


def _inject(exchange, venue, recordings, *faults, **options):
    """Everything a client receives after the faults were injected, and the status at the end."""

    async def scenario():
        async with venue(server) as v, v.stream() as client:
            await client.login()
            for fault in faults:
                status, _ = await v.post("fault", fault)
                assert status == 200
            return await v.play(client), await v.status()

    server = exchange(data=recordings, **options)
    return asyncio.run(scenario())


def test_duplicated_frames_are_counted_as_sent_and_as_duplicates(
    exchange, venue, table_of, recordings
):
    messages, status = _inject(exchange, venue, recordings, {"kind": "duplicate", "count": 2})
    assert table_of(messages) == status["sent"]
    repeated = sum(n for row in status["duplicated"].values() for n in row.values())
    assert repeated == 200
    assert len(messages) == 1216 + repeated
    assert messages[:100] == messages[100:200]


def test_reordered_frame_carries_the_same_messages_last_first(exchange, venue, recordings):
    messages, _ = _inject(exchange, venue, recordings, {"kind": "reorder", "count": 1})
    plain, _ = _inject(exchange, venue, recordings)
    assert messages[:100] == plain[:100][::-1]
    assert messages[100:] == plain[100:]


def test_late_trades_bring_updated_bars(exchange, venue, recordings):
    plain, _ = _inject(exchange, venue, recordings)
    messages, _ = _inject(exchange, venue, recordings, {"kind": "late_trades", "count": 60})
    assert Counter(m["T"] for m in plain)["u"] == 0
    assert Counter(m["T"] for m in messages)["u"] > 0
    assert Counter(m["T"] for m in messages)["t"] == 400


def test_muted_socket_stays_open_and_carries_nothing(exchange, venue, recordings):
    messages, status = _inject(exchange, venue, recordings, {"kind": "mute"})
    assert messages == []
    assert status["total_sent"] == 0
    assert status["connections"] == 1


@pytest.mark.parametrize("how", ["clean", "abort", "mid_frame"])
def test_connection_is_cut(exchange, venue, recordings, how):
    async def scenario():
        async with venue(server) as v, v.stream() as client:
            await client.login()
            cut = asyncio.create_task(v.post("fault", {"kind": "cut", "how": how}))
            if how == "mid_frame":
                await cut
                await v.post("start")
            received = 0
            while (frame := await client.receive()) is not None:
                received += len(frame)
            await cut
            return received, client.ws.close_code, await v.status()

    server = exchange(data=recordings)
    received, code, status = asyncio.run(scenario())
    assert received == status["total_sent"] == 0
    assert code == (1001 if how == "clean" else 1006)


def test_slow_client_is_told_407_and_disconnected(exchange, venue, recordings):
    async def scenario():
        async with venue(server) as v, v.stream() as client:
            await client.login()
            await v.post("fault", {"kind": "slow_client"})
            return await client.receive(), await client.receive()

    server = exchange(data=recordings)
    refusal, closed = asyncio.run(scenario())
    assert refusal == [{"T": "error", "code": 407, "msg": "slow client"}]
    assert closed is None


def test_next_client_gets_the_armed_error_and_the_one_after_enters(exchange, venue, recordings):
    async def scenario():
        async with venue(server) as v:
            await v.post("fault", {"kind": "connect_error", "code": 406})
            async with v.stream() as first:
                await first.receive()
                await first.send({"action": "auth", "key": "demo-key", "secret": "demo-secret"})
                refusal = await first.receive()
            async with v.stream() as second:
                return refusal, await second.login()

    server = exchange(data=recordings)
    refusal, acknowledgement = asyncio.run(scenario())
    assert refusal[0]["code"] == 406
    assert acknowledgement[0]["T"] == "subscription"


def test_acknowledgement_is_partial_once(exchange, venue, recordings):
    async def scenario():
        async with venue(server) as v, v.stream() as client:
            await v.post("fault", {"kind": "partial_acknowledgement"})
            first = await client.login()
            await client.send({"action": "subscribe", "trades": ["*"]})
            return first, await client.receive()

    server = exchange(data=recordings)
    first, second = asyncio.run(scenario())
    assert first[0]["trades"] == []
    assert first[0]["quotes"] == second[0]["trades"] == ["*"]


def test_rest_is_throttled_or_broken_for_the_requests_asked_for(exchange, venue, recordings):
    async def scenario():
        async with venue(server) as v:
            await v.post("fault", {"kind": "rate_limit", "count": 2})
            await v.post("fault", {"kind": "http_error", "status": 504})
            codes = []
            for _ in range(4):
                async with v.http.get(f"{server.rest}/latest/bars?symbols=BTC/USD") as response:
                    codes.append(response.status)
            return codes

    server = exchange(data=recordings)
    assert asyncio.run(scenario()) == [429, 429, 504, 200]


def test_books_are_sent_whole_again_on_demand(exchange, venue, recordings):
    async def scenario():
        async with venue(server) as v, v.stream() as client:
            await client.login(orderbooks=["BTC/USD"])
            await v.post("start")
            messages = await client.receive()
            await v.post("fault", {"kind": "book_reset"})
            return messages + await v.drain(client), await v.status()

    server = exchange(data=recordings, sessions=("first",), duration_s=1.0)
    messages, status = asyncio.run(scenario())
    assert sum("r" in message for message in messages) == 3
    assert status["sent"]["orderbooks"] == {"BTC/USD": len(messages)} == {"BTC/USD": 201}


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "earthquake"},
        {},
        {"kind": "cut", "how": "politely"},
        {"kind": "connect_error", "code": 999},
        {"kind": "duplicate", "count": -1},
        {"kind": "http_error", "status": 200},
        [1],
    ],
)
def test_unknown_fault_is_refused(exchange, venue, recordings, body):
    async def scenario():
        async with venue(server) as v:
            return await v.post("fault", body)

    server = exchange(data=recordings)
    status, answer = asyncio.run(scenario())
    assert status == 400
    assert "fault" in answer["message"]


def test_client_may_come_back_at_once_after_a_clean_cut(exchange, venue, recordings):
    async def scenario():
        async with venue(server) as v:
            async with v.stream() as first:
                await first.login()
                cut = asyncio.create_task(v.post("fault", {"kind": "cut", "how": "clean"}))
                assert await first.receive() is None
                await cut
            async with v.stream() as second:
                return await second.login()

    server = exchange(data=recordings, unclean_hold_s=60)
    assert asyncio.run(scenario())[0]["T"] == "subscription"


def test_truncated_frame_ends_early_and_is_not_counted_as_sent(exchange, venue, recordings):
    async def scenario():
        async with venue(server) as v, v.stream() as client:
            await client.login()
            await v.post("fault", {"kind": "truncate"})
            await v.post("start")
            return (await client.ws.receive(5)).data

    server = exchange(data=recordings)
    text = asyncio.run(scenario())
    assert text.startswith("[{")
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


def test_poisoned_frame_also_carries_trades_without_a_price(exchange, venue, recordings):
    messages, _ = _inject(exchange, venue, recordings, {"kind": "poison", "count": 1})
    plain, _ = _inject(exchange, venue, recordings)
    assert [message["p"] for message in messages[:2]] == ["12,5", None]
    assert messages[2:] == plain


def test_rotated_credentials_count_from_the_next_connection_on(exchange, venue, recordings):
    async def scenario():
        async with venue(server) as v, v.stream() as client:
            await client.login()
            fault = {"kind": "rotate_credentials", "key": "new", "secret": "other"}
            assert (await v.post("fault", fault))[0] == 200
            assert (await v.post("fault", {"kind": "rotate_credentials"}))[0] == 400
            assert (await v.status())["subscribed"] == 1
            answers = []
            async with v.stream() as refused:
                await refused.receive()
                old = {"action": "auth", "key": "demo-key", "secret": "demo-secret"}
                await refused.send(old)
                answers.append(await refused.receive())
            await client.ws.close()
            async with v.stream() as accepted:
                await accepted.receive()
                await accepted.send({"action": "auth", "key": "new", "secret": "other"})
                answers.append(await accepted.receive())
            return answers

    server = exchange(data=recordings)
    refused, accepted = asyncio.run(scenario())
    assert refused[0]["code"] == 402
    assert accepted[0]["msg"] == "authenticated"


def test_journal_holds_what_was_withheld_from_a_muted_socket(exchange, venue, recordings, tmp_path):
    path = tmp_path / "journal"
    messages, _ = _inject(exchange, venue, recordings, {"kind": "mute"}, journal=path)
    found = read_journal(path)
    assert messages == []
    assert len(found) == 1216
    assert {outcome for one in found for _, outcome in one.writes} == {Outcome.MUTED}


def test_journal_holds_every_message_with_its_repetition(exchange, venue, recordings, tmp_path):
    path = tmp_path / "journal"
    fault = {"kind": "duplicate", "count": 2}
    messages, _ = _inject(exchange, venue, recordings, fault, journal=path)
    found = read_journal(path)
    assert sum(one.delivered for one in found) == len(messages)
    assert Counter(one.delivered for one in found)[2] == 200
