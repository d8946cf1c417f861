"""What became of the data: the verdict, the diagram and the reconciliation table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tradelake.research.report.records import Reconciliation, ReportData
from tradelake.research.report.text import DASH, count, number, plural, size

_ALL_ROWS: Final = 24
_BOX: Final = (124, 58)
_STRIDE: Final = 259
_MAIN_Y: Final = 34
_SIDE_Y: Final = 168
_SIDE_BOX: Final = (118, 50)

Tone = Literal["good", "bad", "neutral"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the reconciliation came out, in one line and in one sentence."""

    tone: Tone
    headline: str
    detail: str


@dataclass(frozen=True, slots=True)
class Balance:
    """Reconciliation, summed as the reader needs it."""

    rows: tuple[Reconciliation, ...]
    by_channel: tuple[Reconciliation, ...]
    problems: tuple[Reconciliation, ...]
    total: Reconciliation
    symbols: int

    @property
    def unexplained(self) -> int:
        """Records that are missing or too many; the two never cancel out."""
        return sum(abs(row.unexplained) for row in self.rows)

    @property
    def collapsed(self) -> bool:
        """Whether there are too many rows to show them all at once."""
        return len(self.rows) > _ALL_ROWS


@dataclass(frozen=True, slots=True)
class Box:
    """A place in the diagram, in SVG units."""

    x: float
    y: float
    width: float
    height: float
    title: str
    note: str
    css: str


@dataclass(frozen=True, slots=True)
class Arrow:
    """A flow in the diagram with its count; the label stands under the count."""

    x1: float
    y1: float
    x2: float
    y2: float
    count: str
    label: str
    css: str


@dataclass(frozen=True, slots=True)
class Diagram:
    """The pipeline and what flowed through it."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    summary: str


def balance(data: ReportData) -> Balance | None:
    """Sums of the reconciliation, or None when there was none."""
    rows = data.reconciliation
    if not rows:
        return None
    channels = dict.fromkeys(row.channel for row in rows)
    symbols = len({row.symbol for row in rows})
    return Balance(
        rows=rows,
        by_channel=tuple(
            _sum([row for row in rows if row.channel == channel], channel) for channel in channels
        ),
        problems=tuple(row for row in rows if not row.is_clean),
        total=_sum(rows, "All channels"),
        symbols=symbols,
    )


def verdict(checked: Balance | None) -> Verdict:
    """Whether every record sent is accounted for, once; every row is added up again."""
    if checked is None:
        return Verdict("neutral", "Not checked", "No reconciliation was given to this report.")
    total = checked.total
    if not checked.problems:
        return Verdict(
            "good",
            "Reconciled to the unit",
            f"Every one of {plural(total.sent, 'record')} sent is stored once, quarantined, "
            "a known duplicate or marked unrecoverable.",
        )
    wrong = sum(not row.balances for row in checked.problems)
    parts = [f"{count(checked.unexplained)} unexplained", f"{count(total.doubled)} doubled"]
    if wrong:
        parts.append(f"{plural(wrong, 'row')} whose figures do not add up")
    return Verdict(
        "bad",
        "Not reconciled",
        f"{', '.join(parts)}, in {count(len(checked.problems))} of "
        f"{plural(len(checked.rows), 'series', 'series')} (channel and symbol).",
    )


def diagram(data: ReportData, checked: Balance | None) -> Diagram:
    """Venue, ingester, validation, lake and backtests; counts on the arrows, losses beneath."""
    boxes = (*_main_boxes(data), *_side_boxes())
    flows = data.throughput
    total = checked.total if checked else None
    sent = total.sent if total else flows.points_sent if flows else None
    durable = flows.points_durable if flows else None
    stored = total.stored if total else flows.rows_stored if flows else None
    succeeded = sum(run.status == "succeeded" for run in data.runs)
    arrows = (
        _along(0, count(sent), "sent"),
        _along(1, count(durable), "durable"),
        _along(2, count(stored), "stored"),
        _along(3, plural(len(data.runs), "run"), f"{count(succeeded)} succeeded"),
        _down(0, checked.unexplained if checked else None, bad=True),
        _down(1, total.unrecoverable if total else None),
        _down(2, total.quarantined if total else None, shift=-64),
        _down(2, total.duplicates if total else None, shift=64),
        _down(3, total.doubled if total else None, bad=True),
    )
    summary = f"{count(sent)} records sent, {count(durable)} durable, {count(stored)} stored; "
    if checked is None:
        summary += "not reconciled"
    else:
        summary += (
            f"{count(checked.total.quarantined)} quarantined, "
            f"{count(checked.total.duplicates)} duplicates, "
            f"{count(checked.total.unrecoverable)} unrecoverable, "
            f"{count(checked.unexplained)} unexplained, {count(checked.total.doubled)} doubled"
        )
    return Diagram(4 * _STRIDE + _BOX[0], 224, boxes, arrows, summary)


def _main_boxes(data: ReportData) -> Iterable[Box]:
    flows = data.throughput
    known = flows is not None and flows.p99_ms is not None
    strategies = len({run.strategy for run in data.runs})
    notes = (
        ("Venue", plural(len({row.symbol for row in data.reconciliation}), "symbol")),
        ("Ingester", f"p99 {number(flows.p99_ms, 1)} ms" if flows and known else "spool, gaps"),
        ("Validate", "quality rules"),
        ("Lake", size(sum(t.size_bytes for t in data.tables)) if data.tables else DASH),
        ("Backtests", plural(strategies, "strategy", "strategies")),
    )
    return (
        Box(index * _STRIDE, _MAIN_Y, *_BOX, title, note, "main")
        for index, (title, note) in enumerate(notes)
    )


def _side_boxes() -> Iterable[Box]:
    places = (
        ("Unexplained", 0, 0),
        ("Unrecoverable", 1, 0),
        ("Quarantined", 2, -64),
        ("Duplicates", 2, 64),
        ("Doubled", 3, 0),
    )
    for title, column, shift in places:
        x = column * _STRIDE + _BOX[0] / 2 + shift - _SIDE_BOX[0] / 2
        yield Box(max(x, 0), _SIDE_Y, *_SIDE_BOX, title, "", "side")


def _along(column: int, label: str, beneath: str) -> Arrow:
    start = column * _STRIDE + _BOX[0]
    y = _MAIN_Y + _BOX[1] / 2
    return Arrow(start + 4, y, start + _STRIDE - _BOX[0] - 6, y, label, beneath, "along")


def _down(column: int, value: int | None, *, shift: int = 0, bad: bool = False) -> Arrow:
    x = column * _STRIDE + _BOX[0] / 2 + shift
    css = "" if not value else "bad" if bad else "some"
    return Arrow(x, _MAIN_Y + _BOX[1] + 4, x, _SIDE_Y - 6, count(value), "", f"down {css}".strip())


def _sum(rows: Sequence[Reconciliation], channel: str) -> Reconciliation:
    return Reconciliation(
        channel=channel,
        symbol=plural(len({row.symbol for row in rows}), "symbol"),
        sent=sum(row.sent for row in rows),
        stored=sum(row.stored for row in rows),
        quarantined=sum(row.quarantined for row in rows),
        duplicates=sum(row.duplicates for row in rows),
        unrecoverable=sum(row.unrecoverable for row in rows),
        unexplained=sum(row.unexplained for row in rows),
        doubled=sum(row.doubled for row in rows),
    )
