"""One run of the ingester: a feed, its intake and a publisher, until nothing is in hand."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from tradelake.errors import Fatal, TradelakeError
from tradelake.usecases.intake import Feed, Intake
from tradelake.usecases.publish import Publisher

_LEAVE_S: Final = 1.0
"""How long it takes at most to leave a spool."""


async def run_ingester(
    feed: Feed,
    intake: Intake,
    publisher: Publisher,
    stop: asyncio.Event,
    *,
    drain_timeout_s: float = 20.0,
) -> None:
    """Run until ``stop`` is set and nothing is in hand.

    Parameters
    ----------
    feed, intake, publisher
        Wired to each other.
    stop : asyncio.Event
        Asks for the end.
    drain_timeout_s : float
        How long the stream may refuse what is in hand after the feed ended. What is on the disk
        by then stays there for the next run.

    Raises
    ------
    Fatal
        The venue or the stream refuses for good, or the stream did not take what was in hand; that
        interval is in the gap ledger then.
    """
    refusal: Fatal | None = None
    try:
        async with asyncio.TaskGroup() as group:
            ending = [group.create_task(publisher.run()), group.create_task(intake.write_gaps())]
            group.create_task(intake.keep_noting())
            group.create_task(intake.keep_time())
            asked = group.create_task(_read_on(publisher, stop))
            try:
                await feed.run(intake, stop)
            except Fatal as error:
                refusal = error
            asked.cancel()
            intake.state = "draining"
            intake.close()
            publisher.drain(final=intake.final and refusal is None)
            _, unfinished = await asyncio.wait(ending, timeout=drain_timeout_s)
            if unfinished:
                publisher.leave()
                _, unfinished = await asyncio.wait(unfinished, timeout=_LEAVE_S)
            if unfinished:
                raise Fatal(
                    f"{intake.status().in_hand} records were not durable"
                    f" {drain_timeout_s:g} s after the feed ended"
                )
    except* TradelakeError as group_error:
        failure = _first(group_error)
        # The error itself is raised below; a ledger that fails too must not hide it.
        with contextlib.suppress(TradelakeError):
            await intake.give_up(f"stopped: {failure}")
        raise failure from refusal
    await intake.end_in_order()
    intake.state = "stopped"
    if refusal is not None:
        raise refusal


async def _read_on(publisher: Publisher, stop: asyncio.Event) -> None:
    """Let a feed that waits for room go on to its end once that is asked for."""
    await stop.wait()
    publisher.read_on()


def _first(group: BaseExceptionGroup[TradelakeError]) -> TradelakeError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, TradelakeError)
    return error
