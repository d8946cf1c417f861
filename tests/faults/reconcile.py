"""The account by identity: what the venue published against what the lake and the ledger say.

For every channel

    sent = stored + quarantined + duplicates + superseded + unrecoverable + unexplained

where ``sent`` are the distinct data published from the first subscription on, whether anybody was
connected or not, and each repetition; ``unexplained`` must be 0. Rules:

- ``stored``: a row of this identity is in the lake.
- ``quarantined``: it is not, and a row of quarantine holds it.
- ``duplicates``: it was sent before (a repeated frame, a book sent again after a reconnect).
- ``unrecoverable``: an order-book update that is not stored and was published inside a gap of the
  ledger; the venue keeps no history of books.
- ``superseded``: a bar message that is not stored, was published inside a gap of the ledger, and
  whose bar the lake has in the same or a later state: REST answers the latest state alone.
- ``doubled``: rows beyond the first of one identity; and rows of a datum that was never sent, or
  more often than it was sent, unless the lake says itself that the row is a duplicate.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.faults.identities import Identity, identified
from tradelake.exchange.journal import Publication
from tradelake.feed.subscription import EVERY_SYMBOL
from tradelake.market.channels import (
    BARS,
    CHANNELS,
    DAILY_BARS,
    ORDERBOOKS,
    QUOTES,
    UPDATED_BARS,
)
from tradelake.market.records import Bar
from tradelake.ports import OPEN, Gap

_NUMBERED = (QUOTES, ORDERBOOKS)
_BARS = (BARS, UPDATED_BARS, DAILY_BARS)
_DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class LakeContent:
    """What the lake holds of a venue.

    Parameters
    ----------
    rows : mapping of Identity to int
        Rows of each datum.
    flags : mapping of Identity to str
        Quality rules that found it odd, where any did.
    bars : mapping of (symbol, timeframe, ts_event) to int
        Most trades of the venue's own bar in any of its states.
    quarantined : mapping of Identity to int
        Rows of quarantine of each datum; time -1 where the message could not be read.
    quarantine_doubled : int
        Rows of quarantine of equal transport identity, beyond the first.
    """

    rows: Mapping[Identity, int]
    flags: Mapping[Identity, str] = field(default_factory=dict)
    bars: Mapping[tuple[str, str, int], int] = field(default_factory=dict)
    quarantined: Mapping[Identity, int] = field(default_factory=dict)
    quarantine_doubled: int = 0


@dataclass(slots=True)
class Line:
    """The account of one channel, in messages."""

    channel: str
    sent: int = 0
    stored: int = 0
    quarantined: int = 0
    duplicates: int = 0
    superseded: int = 0
    unrecoverable: int = 0
    doubled: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def unexplained(self) -> int:
        """Messages nothing accounts for."""
        known = self.stored + self.quarantined + self.duplicates
        return self.sent - known - self.superseded - self.unrecoverable

    @property
    def balanced(self) -> bool:
        """Whether every message is explained and none is there twice."""
        return self.unexplained == 0 and self.doubled == 0


def since_first_subscription(publications: Sequence[Publication]) -> list[Publication]:
    """Return what was published from the moment somebody had subscribed."""
    first = next((i for i, one in enumerate(publications) if one.writes), len(publications))
    return list(publications[first:])


def account(
    publications: Iterable[Publication], lake: LakeContent, gaps: Sequence[Gap]
) -> list[Line]:
    """Return one account per channel, in the order of the channels."""
    lines = {channel: Line(channel) for channel in CHANNELS}
    sent: dict[Identity, list[Publication]] = defaultdict(list)
    for identity, one in identified(publications):
        sent[identity].append(one)
    for identity, ones in sent.items():
        line = lines[ones[0].channel]
        copies = sum(max(1, len(one.writes)) if one.delivered > 1 else 1 for one in ones)
        line.sent += copies
        line.duplicates += copies - 1
        column = _column(identity, ones, lake, gaps)
        if column:
            setattr(line, column, getattr(line, column) + 1)
        else:
            line.examples.append(f"not accounted for: {identity}")
    _count_doubled(sent, lake, lines)
    return list(lines.values())


def _column(
    identity: Identity, ones: Sequence[Publication], lake: LakeContent, gaps: Sequence[Gap]
) -> str:
    if lake.rows.get(identity):
        return "stored"
    unread = (identity[0], identity[1], -1, identity[-1])
    if identity in lake.quarantined or unread in lake.quarantined:
        return "quarantined"
    if not any(in_gap(one, gaps) for one in ones):
        return ""
    record = ones[0].record
    if ones[0].channel == ORDERBOOKS:
        return "unrecoverable"
    if isinstance(record, Bar):
        later = lake.bars.get((record.symbol, record.timeframe, record.ts_event), -1)
        return "superseded" if later >= record.trades else ""
    return ""


def in_gap(publication: Publication, gaps: Iterable[Gap]) -> bool:
    """Return whether a message was published inside a gap of its channel and symbol."""
    return any(
        publication.channel in gap.channels
        and (EVERY_SYMBOL in gap.symbols or publication.record.symbol in gap.symbols)
        and gap.opened_ns <= publication.at_ns
        and (gap.closed_ns == OPEN or publication.at_ns <= gap.closed_ns)
        for gap in gaps
    )


def silent_gaps(gaps: Iterable[Gap], publications: Iterable[Publication]) -> list[Gap]:
    """Return the open gaps in which the venue published nothing, so that nothing can be missing."""
    told = list(publications)
    return [
        gap for gap in gaps if gap.closed_ns == OPEN and not any(in_gap(one, [gap]) for one in told)
    ]


def _count_doubled(
    sent: Mapping[Identity, Sequence[Publication]], lake: LakeContent, lines: Mapping[str, Line]
) -> None:
    known = {_plain(identity) for identity in sent}
    for identity, rows in lake.rows.items():
        line = lines[str(identity[0])]
        extra = rows - 1
        said_again = identity[0] in _BARS or _DUPLICATE in lake.flags.get(identity, "")
        if identity not in sent and not said_again:
            extra = rows
        if identity not in sent and _plain(identity) not in known:
            extra = rows
        if extra:
            line.doubled += extra
            line.examples.append(f"{extra} too many: {identity} {lake.flags.get(identity, '')}")
    lines[BARS].doubled += lake.quarantine_doubled


def _plain(identity: Identity) -> Identity:
    """Return what identifies a datum apart from how often, or on which channel, it was said.

    A numbered identity without its number; a bar without its channel, because a minute that late
    trades changed came as an updated bar and is an ordinary one on REST.
    """
    if identity[0] in _NUMBERED:
        return identity[:-1]
    return ("bar", *identity[1:]) if identity[0] in _BARS else identity


def totals(lines: Iterable[Line]) -> Counter[str]:
    """Return the sums over all channels, by column."""
    total: Counter[str] = Counter()
    for line in lines:
        for name in (
            "sent",
            "stored",
            "quarantined",
            "duplicates",
            "superseded",
            "unrecoverable",
            "doubled",
        ):
            total[name] += getattr(line, name)
        total["unexplained"] += abs(line.unexplained)
    return total
