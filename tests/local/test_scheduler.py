"""Schedules: EventBridge's event, one failure is not the end, none overlaps with itself."""

from __future__ import annotations

import datetime as dt
import json
import threading

from tradelake.errors import Fatal
from tradelake.local.scheduler import Scheduler, scheduled_event
from tradelake.topology.schedules import BACKFILL, SCHEDULES


def test_every_schedule_comes_in_whole_minutes_and_invokes_what_no_stream_triggers():
    for schedule in SCHEDULES:
        assert schedule.every_s % 60 == 0
        assert schedule.every_s > 0
        assert schedule.function.triggers == ()


def test_a_scheduled_event_is_eventbridges():
    event = scheduled_event("backfill", dt.datetime(2026, 1, 2, tzinfo=dt.UTC))
    assert event["source"] == "aws.scheduler"
    assert event["detail-type"] == "Scheduled Event"
    assert event["resources"][0].endswith(":schedule/default/backfill")


def test_a_schedule_goes_on_when_an_invocation_fails(tmp_path):
    thrice = threading.Event()
    calls = []

    def invoke(function, event):
        calls.append((function.name, event["source"]))
        if len(calls) == 1:
            raise Fatal("the function raised")
        if len(calls) == 3:
            thrice.set()
        return {"records": len(calls)}

    log = tmp_path / "schedules.log"
    scheduler = Scheduler([BACKFILL], invoke, log, every_s=0.01)
    scheduler.start()
    assert thrice.wait(10)
    scheduler.stop()
    assert set(calls) == {("backfill", "aws.scheduler")}
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines[0] == {"schedule": "backfill", "failure": "Fatal: the function raised"}
    assert lines[1]["answer"] == {"records": 2}
    assert scheduler.failed["backfill"] == 1
    assert scheduler.done["backfill"] >= 2


def test_a_stopped_scheduler_invokes_nothing_more(tmp_path):
    scheduler = Scheduler([BACKFILL], lambda *_: {}, tmp_path / "log", every_s=60)
    scheduler.start()
    scheduler.stop()
    assert scheduler.done.total() == 0
