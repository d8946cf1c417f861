"""Runs compiled strategies: module-level numba functions named by dotted path, on bars or ticks.

A loop that calls a compiled function given to it as an argument, or closed over, is compiled anew
in each process: numba does not keep such code. So each strategy gets a module of its own, a few
lines written beside the machine code that numba keeps of the strategy, which import loop and
strategy by name. Its name holds a hash of the sources it was made from: a change of any makes
another module, and a second process finds the machine code of the first.

Three styles:

- ``decide(open, high, low, close, volume, i, params, memory) -> float``: the target wanted from the
  close of bar ``i`` on, a fraction of equity; NaN, or the last one, leaves things as they are. One
  symbol; nothing after row ``i`` may be read. See :mod:`tradelake.strategies.compiled`.
- ``on_bar(state, terms, bars, event, params, memory)`` and
- ``on_event(state, terms, market, event, params, memory)`` place and cancel orders through
  :mod:`tradelake.execution.placing`, after each bar or tick was matched.

A strategy on ticks that has little to do at most of them says so in a function of its name with
``_wants`` added, ``wants(tape, event, params, memory) -> bool``: it is called only where that says
so, or an order has changed.

``params`` and ``memory`` are arrays of floats; ``memory`` is the strategy's own, 0 at the start.
What is plain Python is compiled here.

A run goes in slices of :data:`SLICE` inputs, between which it can be ended; after each input it is
seen whether too many orders were sent. Nothing in this process ends a callback that never returns:
who must not wait for it runs it in a thread that can be left behind
(:func:`tradelake.backtest.limits.aside`).
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Final, Literal

import numpy as np
from numba.core.errors import NumbaError

from tradelake.errors import ConfigError, InvalidData
from tradelake.execution.compiled import compiled, sources
from tradelake.execution.machine import Machine
from tradelake.execution.state import busy_orders, grown
from tradelake.execution.tick_machine import TickMachine
from tradelake.market.arrays import FloatArray, IntArray

Style = Literal["decide", "on_bar", "on_event"]
MEMORY: Final = 64
"""Cells of a strategy's memory."""
ORDERS: Final = 16
"""Orders for which there is room at each input."""
SLICE: Final = 8_192
"""Inputs between two looks at whether a run is to end: under a second while a callback takes less
than a tenth of a millisecond."""
_UNLIMITED: Final = 1 << 60
_COLUMNS: Final = ("open", "high", "low", "close", "volume")

_HEAD: Final = '''"""Made by tradelake.backtest.compiled for {path}; may be removed at any time."""
import numpy as np
from tradelake.execution.account import equity_now
from tradelake.execution.compiled import compiled
from tradelake.execution.views import loaded_at, market_at, state_at, terms_at
from {module} import {name} as given

strategy = given if hasattr(given, "py_func") else compiled(given)
'''
_BARS: Final = """
from tradelake.execution.core import draw_bands, has_room, is_quiet, on_bar
from tradelake.execution.draws import FEED, latency
from tradelake.execution.orders import send, send_cancel


@compiled
def run(machine, first, last, most, params, memory, wanted{columns}):
    state, terms = state_at(machine[0]), terms_at(machine[1])
    bars, equity = loaded_at(machine[2]).bars, loaded_at(machine[2]).equity
    counters = state.counters[0]
    full = min(state.orders.shape[0] - 16, most)
    if counters.stale:
        draw_bands(state)
    for event in range(first, last):
        bar = bars[event]
        if counters.orders > full:
            return -1 - event
        if is_quiet(state, bar):
            state.positions[bar.symbol].price = bar.close
        elif has_room(state):
            on_bar(state, terms, bars, event)
        else:
            return -1 - event
        if event < equity.shape[0]:
            equity[event] = equity_now(state)
{act}
    return last
"""
_DECIDE: Final = """
        target = strategy(open_, high, low, close, volume, event, params, memory)
        if target == target and target != wanted[0]:
            if not -1.0 <= target <= 1.0:
                wanted[2] = target
                return -1 - event
            now_ns = bar.close_ns + latency(terms.latency, FEED, terms.seed, counters.orders, FEED)
            if wanted[1]:  # what still works of the last target is cancelled by this one
                send_cancel(state, terms, now_ns, int(wanted[1]) - 1)
            wanted[0], wanted[1] = target, counters.orders + 1.0
            send(state, terms, now_ns, bar.symbol, 1, 0, 0, 2, target, np.nan, np.nan, np.nan)
"""
_ACT_ON_BAR: Final = "        strategy(state, terms, bars, event, params, memory)\n"
_TICKS: Final = """
from tradelake.execution.edges import idle_until
from tradelake.execution.ticks import has_tick_room, on_tick


@compiled
def run(machine, first, last, most, params, memory, wanted):
    state, terms = state_at(machine[0]), terms_at(machine[1])
    equity, market = loaded_at(machine[2]).equity, market_at(machine[3])
    tape, rows, positions = market.tape, market.rows, state.positions
    counters = state.counters[0]
    full = min(state.orders.shape[0] - 16, most)
    for event in range(first, last):
        if counters.orders > full:
            return -1 - event
        before = counters.changes
        if idle_until(tape, rows, positions, state.counters, event, event + 1) == event:
            if not has_tick_room(state, terms, market):
                return -1 - event
            on_tick(state, terms, market, event)
        if event < equity.shape[0]:
            equity[event] = equity_now(state)
        if {wants}:
            strategy(state, terms, market, event, params, memory)
    return last
"""
_WANTS: Final = "True"
_WANTS_SOME: Final = "counters.changes != before or wants(tape, event, params, memory)"
_SOURCES: Final = {
    "decide": _HEAD
    + _BARS.replace("{act}", _DECIDE).replace("{columns}", ", open_, high, low, close, volume"),
    "on_bar": _HEAD + _BARS.replace("{act}", _ACT_ON_BAR).replace("{columns}", ""),
    "on_event": _HEAD + _TICKS,
}


@dataclass(frozen=True, slots=True)
class CompiledRun:
    """A compiled strategy and the loop made for it.

    Attributes
    ----------
    path : str
        ``module:function``.
    style : str
        ``decide``, ``on_bar`` or ``on_event``.
    run : callable
        The loop, compiled.
    """

    path: str
    style: Style
    run: Callable[..., int]


def load_compiled(path: str, style: Style) -> CompiledRun:
    """Return the strategy with a dotted path, with a loop of its own.

    Parameters
    ----------
    path : str
        ``module:function`` of a function at the top of an importable module, in numba's subset of
        Python or decorated with :func:`tradelake.execution.compiled.compiled` already.
    style : {"decide", "on_bar", "on_event"}
        What the function takes, see the module.

    Raises
    ------
    ConfigError
        There is no such function, or no such style.
    """
    if style not in _SOURCES:
        raise ConfigError(f"style: expected one of {', '.join(_SOURCES)}; found {style!r}")
    module, _, name = path.partition(":")
    function: object = None
    if module and name.isidentifier():
        try:
            function = getattr(importlib.import_module(module), name, None)
        except ImportError as error:
            raise ConfigError(f"strategy: cannot import {module}: {error}") from error
    plain = getattr(function, "py_func", function)
    if not isinstance(plain, FunctionType):
        raise ConfigError(f"strategy: expected module:function of a function; found {path!r}")
    source = _SOURCES[style].format(path=path, module=module, name=name, wants=_WANTS)
    if style == "on_event" and hasattr(sys.modules[module], f"{name}_wants"):
        source = _SOURCES[style].format(path=path, module=module, name=name, wants=_WANTS_SOME)
        source = source.replace(" as given\n", f" as given\nfrom {module} import {name}_wants\n")
        source = source.replace("wants(", f"{name}_wants(")
    folder = Path(compiled(plain).stats.cache_path)  # type: ignore[attr-defined]
    loop = _imported(source, folder, _digest(source, Path(plain.__code__.co_filename)))
    return CompiledRun(path, style, loop.run)


def _digest(source: str, own: Path) -> str:
    """Return a hash of the loop, of the strategy's file and of what compiled code is made of."""
    digest = hashlib.sha256(source.encode() + own.read_bytes() + sources().encode())
    return digest.hexdigest()[:16]


def _imported(source: str, folder: Path, digest: str) -> ModuleType:
    """Import a module from its source, written to a file once: numba keeps code beside files."""
    name = f"tradelake_loop_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    file = folder / f"{name}.py"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f"{name}.{id(source)}.tmp"
        draft.write_text(source)
        draft.replace(file)
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ConfigError(f"strategy: cannot import the loop at {file}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def run_compiled(
    strategy: CompiledRun,
    machine: Machine,
    params: FloatArray,
    *,
    memory: int = MEMORY,
    first: int = 0,
    most_orders: int = _UNLIMITED,
    ended: threading.Event | None = None,
) -> FloatArray:
    """Run a strategy over all inputs that a machine has loaded; return the strategy's memory.

    Parameters
    ----------
    strategy : CompiledRun
        Of style ``on_event`` on a :class:`TickMachine`, else on a :class:`Machine` of bars.
    machine : Machine
        Orders, fills, account and equity are in it afterwards.
    params : FloatArray
        What the strategy reads.
    memory : int
        Cells of its memory.
    first : int
        Input to begin with.
    most_orders : int
        More end the run after the input at which they were sent.
    ended : threading.Event, optional
        Looked at between slices: once set, the run stops where it is.

    Raises
    ------
    ConfigError
        The style is not of what the machine matches, or the code does not compile.
    InvalidData
        Rule ``limit``: too many orders; ``signal``: a decision outside [-1, 1]; ``strategy``: the
        code raised. Each says when, and after which order.
    """
    on_ticks = isinstance(machine, TickMachine)
    if on_ticks != (strategy.style == "on_event"):
        raise ConfigError(
            f"strategy: expected a strategy on {'ticks' if on_ticks else 'bars'}; "
            f"found {strategy.path} of style {strategy.style}"
        )
    columns = []
    if strategy.style == "decide":
        columns = [np.ascontiguousarray(machine.bars[name]) for name in _COLUMNS]
    at = [machine.state_at, machine.terms_at, machine.loaded_at]
    if isinstance(machine, TickMachine):
        at.append(machine.market_at)
    cells, values = np.zeros(memory), np.ascontiguousarray(params, np.float64)
    wanted = np.zeros(3)  # the target, one more than its order, and a target that is none
    size = len(_stamps(machine))
    while first < size and not (ended is not None and ended.is_set()):
        last = min(first + SLICE, size)
        try:
            reached = strategy.run(
                tuple(at), first, last, most_orders, values, cells, wanted, *columns
            )
        except NumbaError as error:
            said = str(error).strip().splitlines()
            raise ConfigError(f"strategy: {strategy.path} does not compile: {said[0]}") from error
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            raise _told(machine, "strategy", told, _marked(machine, first)) from error
        if wanted[2] != 0.0:
            told = f"expected a target in [-1, 1] or NaN; found {wanted[2]}"
            raise _told(machine, "signal", told, -1 - reached)
        if len(machine.orders) > most_orders:
            told = f"more than {most_orders} orders were sent"
            raise _told(machine, "limit", told, (reached if reached > 0 else -1 - reached) - 1)
        first = reached
        if reached < 0:
            first = -1 - reached
            reserve(machine, ORDERS, ORDERS)
    return cells


def _stamps(machine: Machine) -> IntArray:
    """Return when each input is known, ns since 1970 UTC."""
    stamps: IntArray = (
        machine.market.tape["ts_ns"]
        if isinstance(machine, TickMachine)
        else machine.bars["close_ns"]
    )
    return stamps


def _marked(machine: Machine, first: int) -> int:
    """Return the last input that has an equity, else ``first``."""
    known = np.flatnonzero(~np.isnan(machine.equity[first : first + SLICE]))
    return first + (int(known[-1]) if len(known) else 0)


def _told(machine: Machine, rule: str, said: str, event: int) -> InvalidData:
    """Return what is wrong, with the input at work and the newest order."""
    what = "tick" if isinstance(machine, TickMachine) else "bar"
    at_ns = int(_stamps(machine)[event])
    return InvalidData(rule, f"at {what} {event}, {at_ns} ns, after {machine.last_order()}: {said}")


def reserve(machine: Machine, orders: int, fills: int) -> None:
    """Make room for so many orders and fills more than any input can need.

    A run makes room where it needs some; what is made beforehand need not be copied then.
    """
    busy = busy_orders(machine.state)
    if isinstance(machine, TickMachine):
        fills += 2 * int(machine.market.books.counts.sum())
    machine.state = grown(machine.state, 2 * busy + orders, 4 * busy + fills)
    if isinstance(machine, TickMachine):
        machine.make_room(0)
