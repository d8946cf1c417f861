"""Faults that can be injected while the exchange runs.

Each kind is one entry of ``KINDS``; connection faults act at once, the others arm a counter that
the part concerned takes from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from aiohttp import WSCloseCode

from tradelake.errors import InvalidData
from tradelake.exchange.connection import Connections
from tradelake.exchange.publication import Lateness
from tradelake.exchange.subscriptions import ERRORS

FrameFault = Literal["duplicate", "reorder", "cut_mid_frame", "truncate", "poison"]


@dataclass(slots=True)
class Faults:
    """What is armed.

    Parameters
    ----------
    connections : Connections
        Clients that connection faults act on.
    lateness : Lateness
        Where late trades are ordered.
    update_streams : set of callable
        What breaks each connection to ``trade_updates``.
    """

    connections: Connections
    lateness: Lateness
    frames: dict[FrameFault, int] = field(default_factory=dict)
    connect_errors: list[int] = field(default_factory=list)
    http_errors: list[int] = field(default_factory=list)
    lost_answers: list[int] = field(default_factory=list)
    partial_acknowledgements: int = 0
    resets: bool = False
    credentials: tuple[str, str] | None = None
    update_streams: set[Callable[[], None]] = field(default_factory=set)

    def next_frame(self) -> FrameFault | None:
        """The fault of the frame about to be sent, if any."""
        for kind, left in self.frames.items():
            if left > 0:
                self.frames[kind] = left - 1
                return kind
        return None

    def armed(self) -> dict[str, object]:
        """What waits to happen."""
        return {
            "frames": {kind: left for kind, left in self.frames.items() if left},
            "connect_errors": self.connect_errors,
            "http_errors": self.http_errors,
            "lost_answers": self.lost_answers,
            "partial_acknowledgements": self.partial_acknowledgements,
            "late_trades": self.lateness.forced,
        }

    async def inject(self, request: Mapping[str, Any]) -> None:
        """Inject the fault ``request["kind"]``; other fields are its parameters.

        Raises
        ------
        InvalidData
            Rule ``fault``: unknown kind or a parameter of the wrong form.
        """
        kind = request.get("kind")
        action = KINDS.get(kind) if isinstance(kind, str) else None
        if action is None:
            raise InvalidData(
                "fault", f"expected kind of {', '.join(sorted(KINDS))}; found {kind!r}"
            )
        await action(self, request)


def _count(request: Mapping[str, Any], name: str, default: int) -> int:
    value = request.get(name, default)
    if not isinstance(value, int) or value < 0:
        raise InvalidData("fault", f"expected {name} to be a count; found {value!r}")
    return value


def _code(request: Mapping[str, Any]) -> int:
    code = request.get("code")
    if code not in ERRORS:
        raise InvalidData(
            "fault", f"expected code of {', '.join(map(str, ERRORS))}; found {code!r}"
        )
    assert isinstance(code, int)
    return code


def _status(request: Mapping[str, Any], default: int) -> int:
    status = _count(request, "status", default)
    if not 400 <= status <= 599:
        raise InvalidData("fault", f"expected status of 400 to 599; found {status}")
    return status


async def _mute(faults: Faults, request: Mapping[str, Any]) -> None:
    """Sockets stay open and answer pings but carry no data; ``on`` false ends it."""
    for connection in faults.connections.all():
        connection.muted = bool(request.get("on", True))


async def _cut(faults: Faults, request: Mapping[str, Any]) -> None:
    """Connections end: ``how`` is clean (handshake), abort, or mid_frame (in the next frame)."""
    match request.get("how", "abort"):
        case "clean":
            closing = (c.close(WSCloseCode.GOING_AWAY) for c in faults.connections.all())
            await asyncio.gather(*closing)
        case "abort":
            for connection in faults.connections.all():
                connection.drop()
        case "mid_frame":
            faults.frames["cut_mid_frame"] = 1
        case other:
            raise InvalidData("fault", f"expected how of clean, abort, mid_frame; found {other!r}")


async def _error(faults: Faults, request: Mapping[str, Any]) -> None:
    """Every live client gets the error ``code`` and is disconnected."""
    code = _code(request)
    await asyncio.gather(*(connection.refuse(code) for connection in faults.connections.live()))


async def _slow_client(faults: Faults, _request: Mapping[str, Any]) -> None:
    """Every live client is told it is slow (407) and disconnected."""
    await _error(faults, {"code": 407})


async def _connect_error(faults: Faults, request: Mapping[str, Any]) -> None:
    """The next ``count`` clients get the error ``code`` in place of authentication."""
    faults.connect_errors.extend([_code(request)] * _count(request, "count", 1))


async def _rate_limit(faults: Faults, request: Mapping[str, Any]) -> None:
    """The next ``count`` REST requests are answered 429."""
    faults.http_errors.extend([429] * _count(request, "count", 1))


async def _http_error(faults: Faults, request: Mapping[str, Any]) -> None:
    """The next ``count`` REST requests are answered ``status``, and nothing is done."""
    faults.http_errors.extend([_status(request, 500)] * _count(request, "count", 1))


async def _lost_answer(faults: Faults, request: Mapping[str, Any]) -> None:
    """The next ``count`` REST requests are done and then answered ``status``."""
    faults.lost_answers.extend([_status(request, 504)] * _count(request, "count", 1))


async def _cut_updates(faults: Faults, _request: Mapping[str, Any]) -> None:
    """Connections to ``trade_updates`` break; what happens meanwhile is never told there."""
    for drop in faults.update_streams:
        drop()


async def _duplicate(faults: Faults, request: Mapping[str, Any]) -> None:
    """The next ``count`` frames are sent twice."""
    faults.frames["duplicate"] = _count(request, "count", 1)


async def _reorder(faults: Faults, request: Mapping[str, Any]) -> None:
    """The messages of the next ``count`` frames are sent last to first."""
    faults.frames["reorder"] = _count(request, "count", 1)


async def _truncate(faults: Faults, request: Mapping[str, Any]) -> None:
    """The next ``count`` frames carry the first two thirds of their content."""
    faults.frames["truncate"] = _count(request, "count", 1)


async def _poison(faults: Faults, request: Mapping[str, Any]) -> None:
    """The next ``count`` frames also carry a trade whose price is text, and one of NaN."""
    faults.frames["poison"] = _count(request, "count", 1)


async def _rotate_credentials(faults: Faults, request: Mapping[str, Any]) -> None:
    """From the next connection on ``key`` and ``secret`` are accepted, and no others."""
    key, secret = request.get("key"), request.get("secret")
    if not (isinstance(key, str) and isinstance(secret, str)):
        raise InvalidData("fault", "expected key and secret as text")
    faults.credentials = (key, secret)


async def _late_trades(faults: Faults, request: Mapping[str, Any]) -> None:
    """The next ``count`` trades are published late."""
    faults.lateness.forced += _count(request, "count", 1)


async def _partial_acknowledgement(faults: Faults, request: Mapping[str, Any]) -> None:
    """The next ``count`` subscriptions are acknowledged, and served, without trades."""
    faults.partial_acknowledgements += _count(request, "count", 1)


async def _book_reset(faults: Faults, _request: Mapping[str, Any]) -> None:
    """Every subscribed book is sent whole again, in the middle of the session."""
    faults.resets = True


KINDS: Final[Mapping[str, Callable[[Faults, Mapping[str, Any]], Awaitable[None]]]] = {
    "book_reset": _book_reset,
    "connect_error": _connect_error,
    "cut": _cut,
    "cut_updates": _cut_updates,
    "duplicate": _duplicate,
    "error": _error,
    "http_error": _http_error,
    "late_trades": _late_trades,
    "lost_answer": _lost_answer,
    "mute": _mute,
    "partial_acknowledgement": _partial_acknowledgement,
    "poison": _poison,
    "rate_limit": _rate_limit,
    "reorder": _reorder,
    "rotate_credentials": _rotate_credentials,
    "slow_client": _slow_client,
    "truncate": _truncate,
}
"""Every fault by name."""
