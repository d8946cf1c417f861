"""Tells when a pipeline of stream-triggered functions has nothing left to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path

import msgspec

from tradelake.decoding import json_decoder
from tradelake.topology import functions


class MappingProgress(msgspec.Struct, frozen=True):
    """How far one event-source mapping is; see :mod:`tradelake.local.mapping_state`."""

    name: str
    records: int
    errors: int
    given_up: int
    caught_up_ns: int
    last_error: str | None = None


class FunctionStatus(msgspec.Struct, frozen=True):
    """What a function worker publishes about itself."""

    function: str
    state: str
    mappings: list[MappingProgress]

    @property
    def records(self) -> int:
        """Stream records dealt with."""
        return sum(mapping.records for mapping in self.mappings)


def read_status(state_folder: Path, function: str) -> FunctionStatus | None:
    """Return what a worker published last, or None when it published nothing yet."""
    try:
        text = (state_folder / f"{function}.status.json").read_bytes()
    except FileNotFoundError:
        return None
    return json_decoder(FunctionStatus).decode(text)


def drained(
    status: Mapping[str, FunctionStatus],
    since_ns: int,
    seen: MutableMapping[str, int],
    now_ns: Callable[[], int],
) -> list[str]:
    """Return what is not drained yet, as text; empty when nothing is left to do.

    A function is drained when each of its mappings has dealt with all that was acknowledged before
    the instant at which every function that writes the mapping's stream was seen drained. What
    no stream triggers writes while it is invoked and at no other time: it is outside.

    Parameters
    ----------
    status : mapping
        By function name.
    since_ns : int
        Instant after which nothing more comes from outside.
    seen : mutable mapping
        When a function was seen drained first; kept by the caller between calls.
    now_ns : callable
        The time of day.
    """
    behind = []
    for function in functions.FUNCTIONS:
        if not function.triggers or function.name in seen:
            continue
        waiting = _waiting_for(function, status.get(function.name), since_ns, seen)
        if waiting:
            behind.append(f"{function.name} on {waiting}")
        else:
            seen[function.name] = now_ns()
    return behind


def _waiting_for(
    function: functions.Function,
    status: FunctionStatus | None,
    since_ns: int,
    seen: Mapping[str, int],
) -> str:
    if status is None:
        return "its start"
    for trigger in function.triggers:
        stream = trigger.stream
        writers = [f for f in functions.FUNCTIONS if f.triggers and stream in f.writes_streams]
        if any(writer.name not in seen for writer in writers):
            return f"{stream.name} (still written)"
        after_ns = max([since_ns, *(seen[writer.name] for writer in writers)])
        mapping = next(m for m in status.mappings if m.name.endswith(f":{stream.name}"))
        if mapping.caught_up_ns <= after_ns:
            return f"{stream.name}{f' ({mapping.last_error})' if mapping.last_error else ''}"
    return ""
