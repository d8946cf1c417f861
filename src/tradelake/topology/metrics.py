"""Metrics: which fields of what a component reports become CloudWatch metrics, and the alarms.

A component writes one line a report; the fields named here are metrics of that line (embedded
metric format), the others are its text. A field is a path: ``latency_ms.p99``, and where it is an
object of numbers the metric is their sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from tradelake.topology import containers, functions

NAMESPACE: Final = "tradelake"
DIMENSION_ENVIRONMENT: Final = "environment"
DIMENSION_COMPONENT: Final = "component"

Unit = Literal["Count", "Count/Second", "Milliseconds", "Seconds", "Bytes"]
Statistic = Literal["Sum", "Maximum", "Minimum", "Average", "p99"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: whose, which field of its report, unit and meaning."""

    component: str
    field: str
    name: str
    unit: Unit
    doc: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm on a metric: it rings when the statistic of so many minutes in a row is reached.

    ``when`` says on which side of ``threshold``; ``silence_rings``: no data is bad news too.
    """

    metric: Metric
    statistic: Statistic
    when: Literal["at_least", "at_most"]
    threshold: float
    minutes: int
    doc: str
    silence_rings: bool = False

    @property
    def name(self) -> str:
        """Logical name, for instance ``ingester-GapsOpened``."""
        return f"{self.metric.component}-{self.metric.name}"


_INGESTER: Final = containers.INGESTER.name


def _ingester(field: str, name: str, unit: Unit, doc: str) -> Metric:
    return Metric(_INGESTER, field, name, unit, doc)


RECEIVED: Final = _ingester("received_per_s", "Received", "Count/Second", "records received")
DURABLE: Final = _ingester("durable_per_s", "Durable", "Count/Second", "records made durable")
DURABLE_P50: Final = _ingester(
    "recent_ms.p50", "ReceiptToDurableP50", "Milliseconds", "receipt to acknowledged or spooled"
)
DURABLE_P99: Final = _ingester(
    "recent_ms.p99", "ReceiptToDurableP99", "Milliseconds", "receipt to acknowledged or spooled"
)
DURABLE_P999: Final = _ingester(
    "recent_ms.p999", "ReceiptToDurableP999", "Milliseconds", "receipt to acknowledged or spooled"
)
IN_HAND: Final = _ingester("in_hand", "InHand", "Count", "records received and not durable yet")
RETRIES: Final = _ingester("retries", "Retries", "Count", "requests refused, since the start")
SPOOL_BYTES: Final = _ingester("spool_bytes", "SpoolBytes", "Bytes", "waiting on the disk")
DISK_FULL: Final = _ingester(
    "disk_full", "DiskFull", "Count", "1 while neither stream nor disk takes records"
)
GAPS_OPENED: Final = _ingester(
    "recent_gaps", "GapsOpened", "Count", "intervals in which data may be missing, new"
)
GAP_SECONDS: Final = _ingester(
    "gap_s", "GapSeconds", "Seconds", "length of the gap that is open now; 0: none"
)
TAP_MISSED: Final = _ingester(
    "tap_missed", "TapMissed", "Count", "records that slow tap subscribers lost, since the start"
)
UNIVERSE_EVENTS: Final = _ingester(
    "universe_events", "UniverseEvents", "Count", "assets halted, delisted, renamed; recent"
)
LEADS: Final = _ingester("leads", "Leads", "Count", "1 for the leader, 0 for the standby")

_VALIDATE: Final = functions.VALIDATE.name
_AGGREGATE: Final = functions.AGGREGATE.name
_DELIVER: Final = functions.DELIVER.name
_TRANSFORM: Final = functions.TRANSFORM.name
_BACKFILL: Final = functions.BACKFILL.name
_REBUILD: Final = functions.REBUILD.name


def _latencies(component: str, name: str, doc: str) -> tuple[Metric, Metric, Metric]:
    """Return p50, p99 and p99.9 of a stage's ``latency_ms``."""
    p50, p99, p999 = (
        Metric(component, f"latency_ms.{share}", f"{name}{share.upper()}", "Milliseconds", doc)
        for share in ("p50", "p99", "p999")
    )
    return p50, p99, p999


VALIDATED: Final = Metric(_VALIDATE, "records", "Records", "Count", "records validated")
REJECTED: Final = Metric(_VALIDATE, "rejected", "Rejected", "Count", "sent to quarantine")
FLAGGED: Final = Metric(_VALIDATE, "flagged", "Flagged", "Count", "kept and marked")
CLEAN_P50, CLEAN_P99, CLEAN_P999 = _latencies(
    _VALIDATE, "ReceiptToClean", "receipt to clean stream"
)
BARS: Final = Metric(_AGGREGATE, "counts.bars", "Bars", "Count", "bars and revisions written")
TOO_LATE: Final = Metric(
    _AGGREGATE, "counts.too_late", "TooLate", "Count", "trades that came after their bar was gone"
)
BAR_P50, BAR_P99, BAR_P999 = _latencies(_AGGREGATE, "ReceiptToBars", "receipt to bars stream")
ROWS: Final = Metric(_DELIVER, "rows", "Rows", "Count", "rows appended to the lake")
DUPLICATES: Final = Metric(
    _DELIVER, "duplicates", "Duplicates", "Count", "rows left out: they were there already"
)
LAKE_P50, LAKE_P99, LAKE_P999 = _latencies(_DELIVER, "ReceiptToLake", "receipt to committed rows")

DERIVED: Final = Metric(_TRANSFORM, "derived", "Derived", "Count", "records made by transforms")
TRANSFORM_FAILURES: Final = Metric(
    _TRANSFORM, "rejected", "Failures", "Count", "records that a transform could not deal with"
)
FETCHED: Final = Metric(
    _BACKFILL, "records", "Fetched", "Count", "records fetched over REST to fill gaps"
)
GAPS_UNFILLED: Final = Metric(
    _BACKFILL, "unfilled", "GapsUnfilled", "Count", "closed gaps that wait to be filled"
)
UNFILLED_SECONDS: Final = Metric(
    _BACKFILL, "unfilled_s", "UnfilledSeconds", "Seconds", "length of the gaps that wait"
)
OLDEST_UNFILLED: Final = Metric(
    _BACKFILL, "oldest_s", "OldestUnfilled", "Seconds", "since the first gap that waits was closed"
)
REBUILT: Final = Metric(
    _REBUILD, "rebuilt.bars", "BarsRebuilt", "Count", "bars of filled gaps, from the lake"
)
MISMATCHES: Final = Metric(
    _REBUILD,
    "checked.opened",
    "CrossSourceMismatches",
    "Count",
    "minutes in which the venue counts more than we, new: each opens a gap",
)
UNEXPLAINED: Final = Metric(
    _REBUILD,
    "checked.unexplained",
    "CrossSourceUnexplained",
    "Count",
    "minutes of the last hour that differ although they were fetched again",
)

METRICS: Final = (
    RECEIVED,
    DURABLE,
    DURABLE_P50,
    DURABLE_P99,
    DURABLE_P999,
    IN_HAND,
    RETRIES,
    SPOOL_BYTES,
    DISK_FULL,
    GAPS_OPENED,
    GAP_SECONDS,
    TAP_MISSED,
    UNIVERSE_EVENTS,
    LEADS,
    VALIDATED,
    REJECTED,
    FLAGGED,
    CLEAN_P50,
    CLEAN_P99,
    CLEAN_P999,
    BARS,
    TOO_LATE,
    BAR_P50,
    BAR_P99,
    BAR_P999,
    ROWS,
    DUPLICATES,
    LAKE_P50,
    LAKE_P99,
    LAKE_P999,
    DERIVED,
    TRANSFORM_FAILURES,
    FETCHED,
    GAPS_UNFILLED,
    UNFILLED_SECONDS,
    OLDEST_UNFILLED,
    REBUILT,
    MISMATCHES,
    UNEXPLAINED,
)

ALARMS: Final = (
    Alarm(RECEIVED, "Maximum", "at_most", 0, 5, "nothing is received", silence_rings=True),
    Alarm(LEADS, "Maximum", "at_most", 0, 3, "no ingester leads", silence_rings=True),
    Alarm(DURABLE_P99, "Average", "at_least", 50, 5, "receipt to durable takes 50 ms and more"),
    Alarm(SPOOL_BYTES, "Maximum", "at_least", 1, 5, "the stream refuses; records wait on the disk"),
    Alarm(DISK_FULL, "Maximum", "at_least", 1, 1, "neither stream nor disk takes records"),
    Alarm(GAP_SECONDS, "Maximum", "at_least", 120, 1, "no data for two minutes"),
    Alarm(GAPS_OPENED, "Sum", "at_least", 3, 5, "the feed is interrupted again and again"),
    Alarm(UNIVERSE_EVENTS, "Maximum", "at_least", 1, 1, "an asset was halted, delisted or renamed"),
    Alarm(REJECTED, "Sum", "at_least", 100, 5, "many records break a quality rule"),
    Alarm(TRANSFORM_FAILURES, "Sum", "at_least", 1, 5, "a user's transform fails again and again"),
    Alarm(OLDEST_UNFILLED, "Maximum", "at_least", 1800, 2, "a gap is unfilled for half an hour"),
    Alarm(MISMATCHES, "Sum", "at_least", 1, 1, "data escaped us without a gap being seen"),
    Alarm(UNEXPLAINED, "Maximum", "at_least", 1, 5, "what was fetched again differs all the same"),
)


def of_component(component: str) -> tuple[Metric, ...]:
    """Metrics of one component's reports."""
    return tuple(metric for metric in METRICS if metric.component == component)
