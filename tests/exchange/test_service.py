"""Starting and stopping."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from tradelake.errors import ConfigError
from tradelake.exchange.options import ExchangeOptions, SyntheticOptions
from tradelake.exchange.service import serve
from tradelake.exchange.slots import Slots

TINY = SyntheticOptions(symbols=2, hours=0.05, history_days=0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_exchange_says_where_it_listens_and_stops_cleanly_on_a_signal(number):
    code = (
        "from tradelake.exchange.service import *;"
        "run_exchange(ExchangeOptions(synthetic=SyntheticOptions(symbols=2, history_days=0)))"
    )
    path = str(Path(__file__).parents[2] / "src")
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    ready = json.loads(process.stdout.readline())
    with urllib.request.urlopen(ready["url"] + "/_exchange/status", timeout=5) as response:
        status = json.load(response)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert ready["event"] == "ready"
    assert ready["url"].endswith(f":{ready['port']}")
    assert status["state"] == "waiting"
    assert status["source"] == "synthetic seed 7, 2 symbols"
    assert (process.returncode, out, err) == (0, "", "")


def test_busy_port_is_a_configuration_error_that_names_it():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = ExchangeOptions(synthetic=TINY, port=port)
        with pytest.raises(ConfigError, match=str(port)):
            asyncio.run(serve(options, lambda _url: None, asyncio.Event()))


def test_clients_are_closed_with_1001_when_the_exchange_stops(exchange, venue):
    async def scenario():
        async with venue(server) as v, v.stream() as client:
            await client.login()
            closing = asyncio.create_task(asyncio.to_thread(server.close))
            assert await client.receive() is None
            await closing
            return client.ws.close_code

    server = exchange(synthetic=TINY)
    assert asyncio.run(scenario()) == 1001


@pytest.mark.parametrize(
    "wrong",
    [
        {"synthetic": None},
        {"data": Path("somewhere")},
        {"speed": 1.0, "duration_s": 1.0},
        {"speed": 0.0},
        {"duration_s": -1.0},
        {"late_trade_fraction": 1.5},
        {"frame_messages": 0},
        {"port": 70_000},
    ],
)
def test_options_are_refused_when_they_contradict_themselves(wrong):
    with pytest.raises(ConfigError, match="expected"):
        replace(ExchangeOptions(synthetic=TINY), **wrong)


def test_exchange_refuses_to_start_without_its_data(tmp_path):
    options = ExchangeOptions(data=tmp_path / "none")
    with pytest.raises(ConfigError, match="does not exist"):
        asyncio.run(serve(options, lambda _url: None, asyncio.Event()))


def test_slot_is_free_again_at_once_or_after_the_hold():
    now = [0.0]
    slots = Slots(1, 90.0, lambda: now[0])
    account = ("key", "us")
    assert slots.take(account)
    assert not slots.take(account)
    slots.release(account, clean=True)
    assert slots.take(account)
    slots.release(account, clean=False)
    now[0] = 89.0
    assert not slots.take(account)
    now[0] = 90.0
    assert slots.take(account)
    assert slots.take(("key", "eu-1"))
