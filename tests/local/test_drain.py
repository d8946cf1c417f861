"""Draining: nothing is called done before everything upstream of it was."""

from __future__ import annotations

from tradelake.local.drain import FunctionStatus, MappingProgress, drained, read_status
from tradelake.topology import functions


def status(**caught_up):
    """Status of every triggered function; ``clean=5`` says a mapping on clean is caught up at 5."""
    found = {}
    for function in functions.FUNCTIONS:
        if function.triggers:
            mappings = [
                MappingProgress(
                    f"x-{function.name}:{trigger.stream.name}",
                    0,
                    0,
                    0,
                    caught_up.get(f"{function.name}_{trigger.stream.name}", 100),
                )
                for trigger in function.triggers
            ]
            found[function.name] = FunctionStatus(function.name, "running", mappings)
    return found


def test_drained_says_nothing_when_every_hop_is_past_the_one_before():
    clock = iter(range(50, 60))
    assert drained(status(), 10, {}, lambda: next(clock)) == []


def test_drained_waits_for_writers_of_a_stream_before_its_readers():
    behind = drained(status(validate_ticks=9), 10, {}, lambda: 50)
    assert behind[0] == "validate on ticks"
    assert "aggregate on clean (still written)" in behind
    assert "hot on bars (still written)" in behind


def test_drained_asks_a_reader_again_when_it_was_caught_up_only_before_its_writer_was_done():
    seen = {}
    late = status(aggregate_clean=40, deliver_clean=40)
    behind = drained(late, 10, seen, lambda: 50)
    assert "aggregate on clean" in behind
    assert "validate" in seen
    assert drained(status(), 10, seen, lambda: 60) == []


def test_drained_names_the_error_a_mapping_hangs_on():
    found = status()
    bad = MappingProgress("x-validate:ticks", 0, 3, 0, 0, "Kinesis is away")
    found["validate"] = FunctionStatus("validate", "running", [bad])
    assert drained(found, 10, {}, lambda: 50)[0] == "validate on ticks (Kinesis is away)"


def test_drained_waits_for_a_worker_that_said_nothing_yet():
    found = status()
    del found["hot"]
    assert drained(found, 10, {}, lambda: 50) == ["hot on its start"]


def test_read_status_returns_none_when_there_is_no_file(tmp_path):
    assert read_status(tmp_path, "validate") is None
