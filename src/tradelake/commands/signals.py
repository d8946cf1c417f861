"""How a signal ends the command line: as an exception, so blocks are left in order; then for sure.

A library's callback may lose the first exception, so it is raised once more after some seconds
unless blocks are being left; and CPython itself may die of SIGINT at its end, so :func:`leave` does
not wait for that.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

import click


class Terminated(SystemExit):
    """SIGTERM came."""


ASKED: list[int] = []
"""Signals that asked this process to end; a signal's state belongs to the process anyway."""
_AGAIN_S = 3.0


def _end_again(_number: int, frame: FrameType | None) -> None:
    """Ask once more, unless blocks are being left: a library's callback may have lost the first."""
    while frame is not None:
        if frame.f_code.co_name in {"__exit__", "close"}:
            return
        frame = frame.f_back
    _raise_for(ASKED[-1])


def _raise_for(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Terminated(143)


def _end(number: int, _frame: object) -> None:
    """End as an exception does: blocks are left in order, so nothing is left running."""
    ASKED.append(number)
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
    _raise_for(number)


def leave() -> NoReturn:
    """Say that a signal ended it and exit at once; every block was left before.

    A ``KeyboardInterrupt`` that passed through ``exec`` makes CPython die of SIGINT at its end,
    handled or not, so its end is not waited for.
    """
    if ASKED[-1] == signal.SIGINT:
        message, code = "interrupted; nothing is left running", 130
    else:
        message, code = "ended by SIGTERM; nothing is left running", 143
    click.echo(f"tradelake: {message}", err=True)
    sys.stdout.flush()
    os._exit(code)


def listen() -> None:
    """Let SIGINT and SIGTERM raise ``KeyboardInterrupt`` and :class:`Terminated`."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    signal.signal(signal.SIGALRM, _end_again)


def settle() -> None:
    """Leave at once if a signal asked to; otherwise nothing is raised a second time any more."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    if ASKED:
        leave()
