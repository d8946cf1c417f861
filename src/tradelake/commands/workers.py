"""Runs side by side: compiled strategies in threads, what is Python in processes.

Compiled code lets go of the interpreter's lock; columns and callbacks hold it. Processes are
started afresh and given the data once, when they start, which takes them a second or two: a sweep
that is over by then stays in this process. They end with their parent, however that ends, and leave
a terminal's Ctrl-C to it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, resource_tracker
from multiprocessing.process import BaseProcess
from typing import Any, Final

from tradelake.commands.runs import strategy_of
from tradelake.errors import TradelakeError
from tradelake.market.arrays import BarArrays
from tradelake.market.tape import TickArrays

Trial = dict[str, Any]

MEASURES: Final = ("total_return", "sharpe", "max_drawdown", "turnover", "trades")
_WORTH_S: Final = 4.0
"""Work for which processes are started."""
_LOST: Final = "its process was ended from outside, for instance for want of memory"


@dataclass(frozen=True, slots=True)
class Job:
    """What all runs of a sweep have in common.

    Attributes
    ----------
    strategy : str
        Name, or ``module:NAME``.
    data : sequence of BarArrays or of ticks
        Screened bars of each symbol, or trades, quotes and books.
    keywords : dict
        Of :func:`tradelake.backtest.session.run`.
    """

    strategy: str
    data: Sequence[BarArrays] | Sequence[TickArrays]
    keywords: dict[str, Any]

    def trial(self, parameters: dict[str, Any]) -> Trial:
        """Return one run's measures; of one that fails its error."""
        from tradelake.backtest.failure import rule_of, said
        from tradelake.backtest.session import run

        try:
            result = run(self.data, strategy_of(self.strategy, parameters), **self.keywords)
            row = result.metrics().row()
        except TradelakeError as error:
            return _failed(parameters, str(error))
        except BaseException as error:  # noqa: BLE001 - what is not the run's is raised again
            rule_of(error)
            return _failed(parameters, f"{self.strategy}: {said(error)}")
        final = float(result.equity_values[-1])
        return {**_failed(parameters, ""), **row, "final_equity": final}


def _failed(parameters: dict[str, Any], error: str) -> Trial:
    empty = dict.fromkeys((*MEASURES, "final_equity", "fees"))
    return {**parameters, **empty, "error": error}


def run_all(
    job: Job,
    combinations: Sequence[dict[str, Any]],
    workers: int | None,
    done: Callable[[], None],
) -> list[Trial]:
    """Return a trial for each combination, in their order.

    Parameters
    ----------
    job : Job
        What they have in common.
    combinations : sequence of dict
        Parameters of each.
    workers : int, optional
        How many at a time; by default one for each core.
    done : callable
        Called after each.
    """
    trials: list[Trial] = []
    took_s = 0.0
    for parameters in combinations:  # one that works loads what all need, and shows how long
        began = time.monotonic()
        trials.append(job.trial(parameters))
        took_s = time.monotonic() - began
        done()
        if not trials[-1]["error"]:
            break
    left = combinations[len(trials) :]
    count = min(workers or os.cpu_count() or 1, len(left))
    if not left:
        return trials
    long = count > 1 and took_s * len(left) > _WORTH_S
    if long and not is_compiled(job, combinations[len(trials) - 1]):
        return trials + _in_processes(job, left, count, done)
    return trials + _in_threads(job, left, count, done)


def is_compiled(job: Job, parameters: dict[str, Any]) -> bool:
    """Whether a strategy's runs let go of the interpreter's lock."""
    from tradelake.strategies.compiled import CompiledStrategy

    return isinstance(strategy_of(job.strategy, parameters), CompiledStrategy)


def _in_threads(
    job: Job, combinations: Sequence[dict[str, Any]], count: int, done: Callable[[], None]
) -> list[Trial]:
    pool = ThreadPoolExecutor(count)
    try:
        futures = [pool.submit(job.trial, parameters) for parameters in combinations]
        for _ in as_completed(futures):
            done()
        return [future.result() for future in futures]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _in_processes(
    job: Job, combinations: Sequence[dict[str, Any]], count: int, done: Callable[[], None]
) -> list[Trial]:
    """Give each process one combination at a time; one that is lost is replaced."""
    trials: list[Trial] = [{} for _ in combinations]
    waiting = list(range(len(combinations)))[::-1]
    at_work: dict[connection.Connection, tuple[int, BaseProcess]] = {}
    try:
        for _ in range(count):
            _give(waiting, combinations, at_work, *_started(job))
        while at_work:
            ready = connection.wait(list(at_work))
            for line in [one for one in at_work if one in ready]:
                place, process = at_work.pop(line)
                try:
                    trials[place] = line.recv()
                except (EOFError, OSError):
                    trials[place] = _failed(combinations[place], _LOST)
                    line.close()
                    if waiting:
                        _give(waiting, combinations, at_work, *_started(job))
                else:
                    _give(waiting, combinations, at_work, line, process)
                done()
    finally:
        for _, process in at_work.values():
            process.kill()
    return trials


def _give(
    waiting: list[int],
    combinations: Sequence[dict[str, Any]],
    at_work: dict[connection.Connection, tuple[int, BaseProcess]],
    line: connection.Connection,
    process: BaseProcess,
) -> None:
    """Send a process what waits; one without work is let go."""
    if not waiting:
        line.close()
        return
    place = waiting.pop()
    at_work[line] = (place, process)
    with suppress(OSError):  # it has died: its line says so to who waits
        line.send(combinations[place])


def _started(job: Job) -> tuple[connection.Connection, BaseProcess]:
    """Return a line to a new process, and the process."""
    resource_tracker.ensure_running()  # it lets interrupts through when it starts
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(job, theirs), daemon=True)
    with _interrupts_later():
        process.start()
    theirs.close()
    return ours, process


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Keep Ctrl-C for the end of the block; processes started inside never see it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(job: Job, line: connection.Connection) -> None:
    """Run what comes until the line is closed: what a worker process does."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError):
        while True:
            line.send(job.trial(line.recv()))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
