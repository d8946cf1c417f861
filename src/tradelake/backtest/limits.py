"""How long a run may take and how much it may order, and the watchdog that sees to it.

The watchdog raises an exception inside the running thread, wherever its Python code is at that
moment, so that a callback that never returns is ended too.

Nothing interrupts compiled code before it returns to Python. So compiled strategies run in slices,
in a thread of their own (:func:`aside`): it ends between two slices; one that is stuck inside a
callback is left behind, and burns its core until the process ends, while the caller goes on.
"""

from __future__ import annotations

import ctypes
import math
import numbers
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from tradelake.errors import ConfigError

_AGAIN_S: Final = 0.1
"""A strategy may swallow the exception; it is raised again until the block is left."""
_LOOK_S: Final = 0.05
"""A thread that waits for another is told of an exception this often."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends a run that goes on for too long.

    Parameters
    ----------
    seconds : float
        Wall time of the whole run; infinity for none.
    orders : int
        Orders sent, exits of brackets included.

    Raises
    ------
    ConfigError
        Not positive, or no numbers.
    """

    seconds: float = 3600.0
    orders: int = 1_000_000

    def __post_init__(self) -> None:
        if not _is(numbers.Real, self.seconds) or not self.seconds > 0:
            raise ConfigError(f"limits.seconds: expected a positive number; found {self.seconds!r}")
        if not _is(numbers.Integral, self.orders) or self.orders < 1:
            raise ConfigError(
                f"limits.orders: expected a whole number from 1 on; found {self.orders!r}"
            )


def _is(kind: type, number: object) -> bool:
    """Whether it is such a number; numpy's count, truth values do not."""
    return isinstance(number, kind) and not isinstance(number, bool)


class OutOfTime(BaseException):
    """The limit of seconds is over. No ``Exception``, so that strategies do not catch it."""


class _TakenBack(BaseException):
    """Takes the place of an :class:`OutOfTime` that has not arrived."""


class _Watchdog:
    """Raises :class:`OutOfTime` in a thread until it is called off."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._thread = threading.get_ident()
        self._called_off = threading.Event()
        self._raised = False
        self._lock = threading.Lock()
        self._watcher = threading.Thread(target=self._watch, name="backtest-limit", daemon=True)

    def start(self) -> None:
        self._watcher.start()

    def _watch(self) -> None:
        wait = float(min(self._seconds, threading.TIMEOUT_MAX))
        while not self._called_off.wait(wait):
            with self._lock:
                if not self._called_off.is_set():
                    self._raised = True
                    _raise_in(self._thread, OutOfTime)
            wait = _AGAIN_S

    def call_off(self) -> None:
        """Raise nothing any more; what was raised and has not arrived is taken back.

        It is taken back by another in its place, which is caught here: one that is cleared leaves
        the interpreter looking for it at every call, and in Python 3.11 for ever under a profiler.
        """
        with self._lock:
            self._called_off.set()
        if self._raised:
            with suppress(_TakenBack):
                _raise_in(self._thread, _TakenBack)
                while True:
                    pass


def _raise_in(thread: int, kind: type[BaseException]) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind))


@contextmanager
def watched(seconds: float) -> Iterator[None]:
    """Raise :class:`OutOfTime` inside the block once so many seconds are over.

    Other threads are left alone, so runs side by side in threads end one by one.
    """
    if seconds == math.inf:
        yield
        return
    watchdog = _Watchdog(seconds)
    watchdog.start()
    try:
        yield
    finally:
        watchdog.call_off()


def aside(work: Callable[[threading.Event], None]) -> None:
    """Do ``work`` in a thread of its own and wait for it; what it raises is raised here.

    An exception that arrives here meanwhile (:class:`OutOfTime`, an interrupt) sets the event that
    the work was given, and is passed on at once: work that does not look at it is left behind, in
    a thread that keeps no process alive.
    """
    ended = threading.Event()
    failed: list[BaseException] = []

    def body() -> None:
        try:
            work(ended)
        except BaseException as error:  # noqa: BLE001 - raised again by who waits
            failed.append(error)

    thread = threading.Thread(target=body, name="backtest-compiled", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(_LOOK_S)
    finally:
        ended.set()
    if failed:
        raise failed[0]
