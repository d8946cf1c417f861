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
from tradelake.stream.envelope import Batch, open_bundle


class Upserted(msgspec.Struct, kw_only=True):
    """Counts of one invocation; ``failed_from`` is the first record to be handed over again."""

    bundles: int = 0
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
        As read from the stream. What is no batch, a record or a part of one, is counted and passed
        over: only our own ``aggregate`` writes to the stream, and the lake's delivery reports it.
    store : HotStore or None
        None: this environment has no hot store; bars are counted only.
    """
    outcome = Upserted(bundles=len(received))
    venues: dict[str, list[Bar]] = {}
    for record in received:
        for batch in _batches(record, outcome):
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


def _batches(record: Received, outcome: Upserted) -> list[Batch]:
    try:
        parts = open_bundle(record.data).parts
    except InvalidData:
        outcome.unreadable += 1
        return []
    batches = [part for part in parts if isinstance(part, Batch)]
    outcome.batches += len(batches)
    outcome.unreadable += len(parts) - len(batches)
    return batches
