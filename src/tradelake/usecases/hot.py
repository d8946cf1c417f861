"""Upsert bars into the hot store.

An upsert is idempotent and a later revision wins, so records that are handed over again do no harm
and no position is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tradelake.errors import InvalidData, Transient
from tradelake.market.records import Bar
from tradelake.ports import HotStore, Received
from tradelake.stream.envelope import decode_batch


class Upserted(msgspec.Struct, kw_only=True):
    """Counts of one invocation; ``failed_from`` is the first record to be handed over again."""

    batches: int = 0
    bars: int = 0
    unreadable: int = 0
    failed_from: int | None = None
    failure: str = ""


def upsert_records(received: Sequence[Received], store: HotStore | None) -> Upserted:
    """Write the bars of the bars stream into the hot store, all of a venue at once.

    Parameters
    ----------
    received : sequence of Received
        As read from the stream. A record that is no batch is counted and passed over: only our own
        ``aggregate`` writes to the stream, and the lake's delivery reports it too.
    store : HotStore or None
        None: this environment has no hot store; bars are counted only.
    """
    outcome = Upserted(batches=len(received))
    venues: dict[str, list[Bar]] = {}
    for record in received:
        try:
            batch = decode_batch(record.data)
        except InvalidData:
            outcome.unreadable += 1
            continue
        bars = [made for made in batch.records if isinstance(made, Bar)]
        venues.setdefault(batch.venue, []).extend(bars)
    try:
        for venue, bars in venues.items():
            if store is not None and bars:
                store.upsert_bars(venue, bars)
            outcome.bars += len(bars)
    except Transient as error:
        outcome.failed_from = 0
        outcome.failure = str(error)
    return outcome
