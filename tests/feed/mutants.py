"""Frames as a broken, or a hostile, venue might send them: valid ones and what becomes of them."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
from msgspec.msgpack import Ext

Frame = bytes | str
SYMBOLS = ("BTC/USD", "ETH/USD", "SHIB/USD", "", "BTCUSD", "💥/USD", "A" * 300)
NUMBERS = (0, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 0.1, -0.0, 1e308, 5e-324)
ODDITIES: tuple[Any, ...] = (
    None, True, [], {}, "", "NaN", [[]], {"p": {}}, -1, 2**63, "2024-13-45T99:99:99Z",
)  # fmt: skip
CODES = (0, 400, 401, 402, 403, 404, 405, 406, 407, 409, 410, 411, 500, -1, 2**40, "402", None)
CHANNELS = ("trades", "quotes", "orderbooks", "bars", "updatedBars", "dailyBars", "news")
PROMISES = (b"\xdd\xff\xff\xff\xff", b"\xc6\x7f\xff\xff\xff", b"[[", b"1e999")
"""Beginnings of what is not there: arrays and strings of four billion elements, and the like."""
TEXT_TIME = "2024-03-12T10:27:48.858228144Z"


class Mutator:
    """Makes frames from a seed: the same seed, the same frames."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._text = msgspec.json.Encoder().encode
        self._binary = msgspec.msgpack.Encoder().encode

    def frame(self) -> Frame:
        """The next frame: valid, mutated in its values, in its bytes, or no frame at all."""
        rng = self._rng
        kind = rng.random()
        if kind < 0.03:
            return rng.randbytes(rng.randrange(64))
        if kind < 0.05:
            return self._nested()
        text = rng.random() < 0.5
        messages = [self._message(text) for _ in range(rng.choice((0, 1, 1, 1, 2, 5)))]
        if kind < 0.40:
            messages = [self._disturb(message) for message in messages]
        frame = json.dumps(messages).encode() if text else self._binary(messages)
        if kind > 0.55:
            frame = self._damage(frame)
        return frame.decode("utf-8", "replace") if text else frame

    def _message(self, text: bool) -> dict[str, Any]:
        rng = self._rng
        symbol = rng.choice(SYMBOLS[:3])
        time = TEXT_TIME if text else Ext(-1, rng.randbytes(rng.choice((4, 8, 8, 8, 12, 3))))
        price, size = rng.uniform(1, 1e5), rng.random()
        head = {"S": symbol, "t": time}
        match rng.randrange(9):
            case 0 | 1:
                trade = {"T": "t", "p": price, "s": size, "i": rng.getrandbits(62), "tks": "B"}
                return trade | head
            case 2 | 3:
                return {"T": "q", "bp": price, "bs": size, "ap": price + 1, "as": size} | head
            case 4:
                levels = [{"p": price, "s": size}] * rng.randrange(4)
                return {"T": "o", "b": levels, "a": levels, "r": rng.random() < 0.2} | head
            case 5:
                bar = dict.fromkeys(("o", "h", "l", "c", "v", "vw"), price)
                return {"T": rng.choice("bud"), "n": 3} | bar | head
            case 6:
                return {"T": "success", "msg": rng.choice(("connected", "authenticated", "?"))}
            case 7:
                return {"T": "error", "code": rng.choice(CODES), "msg": "no"}
            case _:
                given = {c: [rng.choice(("*", symbol))] for c in CHANNELS if rng.random() < 0.7}
                return {"T": "subscription", **given}

    def _disturb(self, message: dict[str, Any]) -> dict[str, Any]:
        """Change a value, drop or add a key, or change the type of the message."""
        rng = self._rng
        key = rng.choice(list(message))
        match rng.randrange(5):
            case 0:
                message[key] = rng.choice(NUMBERS[:5] + NUMBERS[6:])
            case 1:
                message[key] = rng.choice(ODDITIES)
            case 2:
                del message[key]
            case 3:
                message["x" * rng.randrange(20)] = rng.choice(ODDITIES)
            case _:
                message["T"] = rng.choice(("t", "q", "o", "b", "success", "error", "zz", 7))
        return message

    def _damage(self, frame: bytes) -> bytes:
        """Flip bits, cut, repeat, insert or join bytes."""
        rng = self._rng
        if not frame:
            return frame
        at = rng.randrange(len(frame))
        match rng.randrange(5):
            case 0:
                damaged = bytearray(frame)
                for _ in range(rng.choice((1, 1, 2, 8))):
                    damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
                return bytes(damaged)
            case 1:
                return frame[:at]
            case 2:
                return frame[:at] + rng.randbytes(rng.randrange(1, 9)) + frame[at:]
            case 3:
                return frame + frame
            case _:
                return frame[:at] + rng.choice(
                    (b"\xdd\xff\xff\xff\xff", b"\xc6\x7f", b"[[", b"1e999")
                )

    def _nested(self) -> Frame:
        depth = self._rng.choice((10, 1000, 3000))
        if self._rng.random() < 0.5:
            return "[" * depth + "]" * self._rng.choice((0, depth))
        return b"\x91" * depth + b"\xc0"
