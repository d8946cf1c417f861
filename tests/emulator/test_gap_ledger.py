"""The gap ledger on the embedded DynamoDB."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tradelake.adapters.aws.gaps import DynamoGaps
from tradelake.errors import Conflict
from tradelake.ports import ChannelFill, Fill, Gap
from tradelake.topology import names
from tradelake.topology.stores import GAPS


def test_interval_and_fill_are_written_apart_and_a_second_backfiller_conflicts(aws):
    ledger = DynamoGaps(names.physical("test", GAPS.name))
    gap = Gap("us", 7, 0, ("trades",), ("*",), "disconnect")
    fill = Fill(channels={"trades": ChannelFill(status="filling", cursor="a")}, epoch=1)
    ledger.record(gap)
    ledger.note_fill(gap, fill)
    closed = replace(gap, closed_ns=9)
    ledger.record(closed)
    with pytest.raises(Conflict):
        ledger.note_fill(gap, Fill(epoch=2))
    with pytest.raises(Conflict):
        ledger.note_fill(replace(gap, cause="never recorded"), Fill(epoch=2))
    assert ledger.gaps() == [replace(closed, fill=fill)]
