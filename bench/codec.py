"""Points per CPU second of decode, validate and encode on one core, and of alpaca-py beside them.

``python -m bench.codec``. Frames of 1, 10 and 100 real recorded messages of all channels go through

- decode: :class:`tradelake.feed.decode.FrameDecoder`, frame -> records;
- validate: :func:`tradelake.usecases.validate.divide_batch`, every stateless rule, flags included;
- encode: :func:`tradelake.stream.envelope.encode_batch` of what passed, one batch a frame;

each alone and one after the other (``codec``). ``deflated`` is the same with bodies compressed as
the ingester compresses large batches. alpaca-py takes the same frames in the same run as its
``_consume`` does after the socket gave it one: ``unpackb``, then ``_dispatch`` to a handler, raw
and as models; it neither validates nor encodes. With the socket: ``bench/feed_clients.py``. The
garbage collector works as seldom as in the ingester, for everything that is compared.

Nothing is kept from frame to frame and what is compared takes turns; each figure is the median of
the repeats in CPU time. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgpack
import msgspec

from bench import frames
from tradelake.adapters.system import collect_seldom
from tradelake.exchange.wire import MarketRecord
from tradelake.feed.decode import FrameDecoder
from tradelake.feed.messages import WireMessage
from tradelake.market.records import BookUpdate, Record, channel_of
from tradelake.stream.envelope import Batch, encode_batch
from tradelake.stream.thresholds import DEFAULT_RULES
from tradelake.usecases.validate import divide_batch

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from alpaca.data.live import CryptoDataStream

SIZES: Final = (1, 10, 100)
PLAIN: Final = 1 << 30
MIXES: Final = ("trades", "quotes", "orderbooks", "bars")
NOW_NS: Final = time.time_ns()


class Work:
    """Frames of one size, and what the steps are given."""

    def __init__(self, told: list[MarketRecord], size: int) -> None:
        self.points = len(told)
        self.frames = frames.frames(told, size)
        self._thresholds = DEFAULT_RULES.of_venue("us")
        decode = FrameDecoder().decode
        self._batches = [
            _batch(at, decode(frame, NOW_NS).records) for at, frame in enumerate(self.frames)
        ]
        assert sum(len(batch.records) for batch in self._batches) == self.points
        collect_seldom()

    def msgspec_alone(self) -> None:
        decode = msgspec.msgpack.Decoder(list[WireMessage]).decode
        for frame in self.frames:
            decode(frame)

    def decode(self) -> None:
        decode = FrameDecoder().decode
        for frame in self.frames:
            decode(frame, NOW_NS)

    def validate(self) -> None:
        for batch in self._batches:
            divide_batch(batch, self._thresholds)

    def encode(self) -> None:
        for batch in self._batches:
            encode_batch(batch, compress_above=PLAIN)

    def codec(self) -> None:
        self._all(PLAIN)

    def deflated(self) -> None:
        self._all(1024)

    def _all(self, compress_above: int) -> None:
        decode, thresholds = FrameDecoder().decode, self._thresholds
        for at, frame in enumerate(self.frames):
            passed, _, _ = divide_batch(_batch(at, decode(frame, NOW_NS).records), thresholds)
            encode_batch(passed, compress_above=compress_above)

    def sdk_raw(self) -> None:
        self._sdk(raw=True)

    def sdk_models(self) -> None:
        self._sdk(raw=False)

    def _sdk(self, *, raw: bool) -> None:
        stream = CryptoDataStream("k", "s", raw_data=raw)
        taken = 0

        async def take(_: Any) -> None:
            nonlocal taken
            taken += 1

        async def consume() -> None:
            for frame in self.frames:
                for message in msgpack.unpackb(frame):
                    await stream._dispatch(message)  # noqa: SLF001 -- what its _consume does

        for handlers in stream._handlers.values():  # noqa: SLF001 -- subscribing wants a socket
            handlers["*"] = take
        asyncio.run(consume())
        assert taken == self.points


STEPS: Final[dict[str, Callable[[Work], None]]] = {
    "msgspec_alone": Work.msgspec_alone,
    "decode": Work.decode,
    "validate": Work.validate,
    "encode": Work.encode,
    "codec": Work.codec,
    "deflated": Work.deflated,
    "sdk_raw": Work.sdk_raw,
    "sdk_models": Work.sdk_models,
}


def _batch(seq: int, records: list[Record]) -> Batch:
    return Batch("live", "us", 1, 0, seq, NOW_NS, records)


def measure(work: Work, names: tuple[str, ...], repeats: int) -> dict[str, float]:
    """Return points per CPU second of each step, the median of the repeats, taking turns."""
    found: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(repeats):
        for name in names:
            began = time.process_time()
            STEPS[name](work)
            found[name].append(work.points / (time.process_time() - began))
    return {name: statistics.median(rates) for name, rates in found.items()}


def run(folder: Path | None, repeats: int) -> dict[str, Any]:
    """Measure, print, and return the figures."""
    told = frames.records(folder)
    channels = collections.Counter(map(channel_of, told))
    levels = sum(len(one.bids) + len(one.asks) for one in told if isinstance(one, BookUpdate))
    print(f"{frames.RECORDED if folder else frames.SYNTHETIC}: {len(told):,} points")
    print(f"  {dict(channels)}, {levels / max(1, channels['orderbooks']):.1f} levels an update")
    by_size: dict[int, dict[str, float]] = {}
    for size in SIZES:
        by_size[size] = measure(Work(told, size), tuple(STEPS), repeats)
        print(f"frames of {size}:")
        _show(by_size[size])
    whole = by_size[SIZES[-1]]
    by_channel = {}
    for channel in MIXES:
        work = Work([one for one in told if channel in channel_of(one).lower()], SIZES[-1])
        by_channel[channel] = measure(work, ("decode", "validate", "encode", "codec"), repeats)
        print(f"{channel} alone, frames of {SIZES[-1]}:")
        _show(by_channel[channel])
    return {
        "name": "codec",
        "codec_points_s": round(whole["codec"]),
        "deflated_points_s": round(whole["deflated"]),
        "ratio_sdk_raw": round(whole["decode"] / whole["sdk_raw"], 2),
        "ratio_sdk_models": round(whole["decode"] / whole["sdk_models"], 2),
        "k_per_cpu_s": {size: _thousands(rates) for size, rates in by_size.items()},
        "k_per_cpu_s_by_channel": {name: _thousands(rates) for name, rates in by_channel.items()},
        "recorded": folder is not None,
        "python": platform.python_version(),
    }


def _thousands(rates: dict[str, float]) -> dict[str, int]:
    return {name: round(rate / 1e3) for name, rate in rates.items()}


def _show(rates: dict[str, float]) -> None:
    for name, rate in rates.items():
        print(f"  {name:14} {rate:>12,.0f} points per CPU second, {1e6 / rate:6.2f} us a point")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("TRADELAKE_DATA"))
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    folder = None if given.data is None else Path(given.data)
    print(json.dumps(run(folder, given.repeats)))


if __name__ == "__main__":
    main()
