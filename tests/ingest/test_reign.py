"""What a replaced leader leaves behind."""

from __future__ import annotations

from tradelake.ports import OPEN, Fill, Gap
from tradelake.usecases.reign import Reign


class Ledger:
    def __init__(self) -> None:
        self.written: dict[object, Gap] = {}

    def record(self, gap: Gap) -> None:
        self.written[gap.key] = gap

    def gaps(self) -> list[Gap]:
        return list(self.written.values())

    def note_fill(self, gap: Gap, fill: Fill) -> None:
        raise AssertionError("a reign fills nothing")


class StoppedClock:
    def now_ns(self) -> int:
        return 100


def gap(opened_ns: int, closed_ns: int = OPEN, cause: str = "stop") -> Gap:
    return Gap("us", opened_ns, closed_ns, ("trades",), ("*",), cause)


def closings(ledger: Ledger) -> dict[str, int]:
    return {one.cause: one.closed_ns for one in ledger.gaps()}


class Throne:
    def __init__(self) -> None:
        self.leads = True
        self.noted: list[int | None] = []
        self.ledger = Ledger()
        self.reign = Reign(self.ledger, self.noted.append, StoppedClock(), lambda: self.leads)


def test_replaced_leader_leaves_no_gap_open_and_does_not_say_that_it_ended_in_order():
    throne = Throne()
    throne.reign.record(gap(10, cause="disconnect"))
    throne.reign.record(gap(10, 20, cause="disconnect"))
    throne.reign.record(gap(30))
    throne.reign.note_durable(29)
    throne.leads = False
    throne.reign.note_durable(None)
    throne.reign.abandon()
    assert throne.noted == [29]
    assert closings(throne.ledger) == {"disconnect": 20, "stop": 100}


def test_leader_that_ends_in_order_leaves_its_gap_open_for_its_successor():
    throne = Throne()
    throne.reign.record(gap(30))
    throne.reign.note_durable(None)
    throne.reign.abandon()
    assert throne.noted == [None]
    assert closings(throne.ledger) == {"stop": OPEN}


def test_replaced_leader_does_not_touch_gaps_of_others():
    throne = Throne()
    throne.ledger.record(gap(5, cause="restart"))
    throne.leads = False
    throne.reign.abandon()
    assert closings(throne.ledger) == {"restart": OPEN}


def test_replaced_leader_closes_every_part_of_an_interruption():
    throne = Throne()
    for channel in ("trades", "quotes"):
        throne.reign.record(Gap("us", 10, OPEN, (channel,), ("*",), "disconnect"))
    throne.leads = False
    throne.reign.abandon()
    assert [one.closed_ns for one in throne.ledger.gaps()] == [100, 100]
