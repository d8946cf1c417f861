"""What a strategy raised, told as the failure of its run; and what is not the strategy's to raise.

A strategy that calls ``sys.exit``, or raises an exception that is no ``Exception``, ends its run
alone. An interrupt, the end of the run's time, and whatever the handler of a signal raised go on to
the caller: they are about the program.
"""

from __future__ import annotations

import signal
from types import CodeType
from typing import Final

from tradelake.backtest.limits import OutOfTime
from tradelake.errors import InvalidData, TradelakeError

_MOST: Final = 500
"""Characters of an exception's text."""


def rule_of(error: BaseException) -> str:
    """Return the rule under which an exception of a strategy fails its run.

    Raises
    ------
    BaseException
        ``error`` itself, where it is not the strategy's.
    """
    if isinstance(error, KeyboardInterrupt | OutOfTime) or _of_signal(error):
        raise error
    return error.rule if isinstance(error, InvalidData) else "strategy"


def said(error: BaseException) -> str:
    """Return what an exception says on one line, without a rule that is told beside it."""
    if isinstance(error, InvalidData):
        return error.reason
    try:
        text = " ".join(str(error).split())
    except Exception as broken:  # noqa: BLE001 - a strategy's exception may have no text
        text = f"its text raised {type(broken).__name__}"
    if isinstance(error, TradelakeError):
        return text
    return f"{type(error).__name__}: {text[:_MOST]}"


def _of_signal(error: BaseException) -> bool:
    """Whether the handler of a signal raised it, wherever the strategy's code was at that time."""
    codes = _handlers()
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in codes:
            return True
        trace = trace.tb_next
    return False


def _handlers() -> set[CodeType]:
    codes = (getattr(signal.getsignal(one), "__code__", None) for one in signal.valid_signals())
    return {code for code in codes if code is not None}
