"""Messages per CPU second of alpaca-py's stream and of our two feeds, in one run.

``python -m bench.feed_clients``. A process of its own sends frames of 1, 10 and 100 messages of a
recorded market, encoded once, over a loopback websocket as fast as they are taken. What is counted
is the CPU time of the receiving process between the first message and the last, after a warm-up;
the last line is JSON, in thousand messages per CPU second.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

from aiohttp import web

from bench import frames
from tradelake.adapters.alpaca.socket import AlpacaFeed
from tradelake.adapters.system import SystemClock
from tradelake.exchange.wire import MsgpackCodec, decode_request
from tradelake.feed.events import Event, Records
from tradelake.feed.session import Session
from tradelake.feed.subscription import Credentials, Subscription
from tradelake.market.channels import CHANNELS

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from alpaca.data.live import CryptoDataStream

    from tradelake.adapters.alpaca.sdk_feed import AlpacaSdkFeed

SIZES: Final = (1, 10, 100)
KEYS: Final = Credentials("k", "s")
EVERYTHING: Final = Subscription(CHANNELS, ("*",))


class Meter:
    """Counts messages; CPU seconds from the end of the warm-up to the last."""

    full = False

    def __init__(self, total: int) -> None:
        self.total = total
        self.count = 0
        self.done = asyncio.Event()
        self._began: tuple[int, float] | None = None
        self.rate = 0.0

    def add(self, count: int) -> None:
        self.count += count
        if self._began is None:
            if self.count >= self.total // 10:
                self._began = (self.count, time.process_time())
        elif self.count >= self.total and not self.done.is_set():
            first, began = self._began
            self.rate = (self.count - first) / (time.process_time() - began)
            self.done.set()

    def take(self, event: Event, _: int) -> None:
        if isinstance(event, Records):
            self.add(len(event.records))

    async def room(self) -> None:
        return


async def sdk(url: str, meter: Meter, *, raw: bool) -> None:
    """The SDK's client as it comes."""
    stream = CryptoDataStream(KEYS.key, KEYS.secret, raw_data=raw, url_override=url)

    async def take(_: Any) -> None:
        meter.add(1)

    for subscribe in (
        stream.subscribe_trades,
        stream.subscribe_quotes,
        stream.subscribe_orderbooks,
        stream.subscribe_bars,
        stream.subscribe_updated_bars,
        stream.subscribe_daily_bars,
    ):
        subscribe(take, "*")
    running = asyncio.create_task(stream._run_forever())  # noqa: SLF001 -- run() wants a loop of its own
    await meter.done.wait()
    await stream.stop_ws()  # cancelled instead, the SDK may go on for ever
    if stream._ws is not None:  # noqa: SLF001 -- it looks for the stop only every 5 s
        await stream._ws.close()  # noqa: SLF001
    await running


async def sdk_raw(url: str, meter: Meter) -> None:
    await sdk(url, meter, raw=True)


async def sdk_models(url: str, meter: Meter) -> None:
    await sdk(url, meter, raw=False)


async def sdk_feed(url: str, meter: Meter) -> None:
    waits = itertools.repeat(1.0)
    await _until_done(AlpacaSdkFeed(url, KEYS, EVERYTHING, SystemClock(), lambda: waits), meter)


async def native(url: str, meter: Meter) -> None:
    session = Session(KEYS, EVERYTHING, lambda: itertools.repeat(1.0))
    await _until_done(AlpacaFeed(url, session, SystemClock()), meter)


async def _until_done(feed: AlpacaFeed | AlpacaSdkFeed, meter: Meter) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(feed.run(meter, stop))  # type: ignore[arg-type]
    await asyncio.wait(
        (running, asyncio.create_task(meter.done.wait())), return_when="FIRST_COMPLETED"
    )
    stop.set()
    await running


Client: TypeAlias = Callable[[str, Meter], Coroutine[None, None, None]]
CLIENTS: Final[dict[str, Client]] = {
    "sdk_models": sdk_models,
    "sdk_raw": sdk_raw,
    "sdk_feed": sdk_feed,
    "native": native,
}


async def serve(folder: Path | None) -> None:
    """Serve ``/SIZE/TOTAL`` until the process is ended; prints the port."""
    told = frames.records(folder)
    made = {size: frames.frames(told, size) for size in SIZES}
    control = MsgpackCodec().control

    async def handle(request: web.Request) -> web.WebSocketResponse:
        size, total = int(request.match_info["size"]), int(request.match_info["total"])
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        await ws.send_bytes(control({"T": "success", "msg": "connected"}))
        await ws.receive()
        await ws.send_bytes(control({"T": "success", "msg": "authenticated"}))
        asked = decode_request((await ws.receive()).data)
        given = {name: asked[name] for name in CHANNELS}
        await ws.send_bytes(control({"T": "subscription", **given}))
        with contextlib.suppress(ConnectionError):
            for frame in itertools.islice(itertools.cycle(made[size]), total // size + 1):
                await ws.send_bytes(frame)
            await ws.receive()
        await ws.close()
        return ws

    application = web.Application()
    application.router.add_get("/{size}/{total}", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


@contextlib.contextmanager
def serving(folder: Path | None) -> Iterator[str]:
    """Run the server; yields its address."""
    command = [sys.executable, "-m", "bench.feed_clients", "--serve"]
    command += [] if folder is None else ["--data", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"ws://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.terminate()


def measure(address: str, client: Client, size: int, total: int) -> float:
    """Return messages per CPU second of one client in one run."""
    meter = Meter(total)
    asyncio.run(client(f"{address}/{size}/{total}", meter))
    return meter.rate


def main(repeats: int, scale: float, folder: Path | None) -> None:
    """Measure all clients, interleaved, and print the median of the repeats."""
    rates: dict[str, dict[int, list[float]]] = {name: {} for name in CLIENTS}
    with serving(folder) as address:
        for _, size, name in itertools.product(range(repeats), SIZES, CLIENTS):
            slow = {"native": 4, "sdk_models": 1}.get(name, 1.5) * (1 if size == 1 else 3)
            rate = measure(address, CLIENTS[name], size, int(15_000 * slow * scale))
            rates[name].setdefault(size, []).append(rate)
            print(f"{name:12} frames of {size:>3}: {rate:>12,.0f} messages per CPU second")
    median = {
        name: {str(size): round(statistics.median(found) / 1e3) for size, found in by.items()}
        for name, by in rates.items()
    }
    for name, by in median.items():
        of = [median["native"][size] / rate for size, rate in by.items()]
        print(f"{name:12} {by}  native is x{', x'.join(f'{ratio:.1f}' for ratio in of)}")
    python = platform.python_version()
    print(
        json.dumps(
            {
                "name": "feed_clients",
                "k_per_cpu_s": median,
                "python": python,
                "recorded": folder is not None,
            }
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--data", type=Path, default=os.environ.get("TRADELAKE_DATA"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0)
    asked = parser.parse_args()
    folder = None if asked.data is None else Path(asked.data)
    if asked.serve:
        asyncio.run(serve(folder))
    else:
        main(asked.repeats, asked.scale, folder)
