"""What a load needs and costs: the arithmetic, and the command that prints it."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tradelake.commands.capacity import capacity
from tradelake.errors import ConfigError
from tradelake.topology import functions
from tradelake.usecases.capacity import (
    HEADROOM,
    LAMBDA_MB_A_CPU,
    MEASURED,
    MONTH_S,
    PRICES,
    SHARD_BYTES_S,
    Line,
    Load,
    Plan,
    plan,
)

ROOT = Path(__file__).parents[2]


def line(found: Plan, start: str) -> Line:
    (only,) = [one for one in found.lines if one.what.startswith(start)]
    return only


@given(st.floats(1.0, 1e7), st.floats(1.0, 1e3))
def test_shards_carry_the_bytes_within_the_headroom(points_s: float, stream_bytes: float) -> None:
    measured = msgspec.structs.replace(MEASURED, stream_bytes=stream_bytes)
    shards = line(plan(Load(points_s=points_s), measured), "shards of ticks").count / 2
    assert shards * SHARD_BYTES_S * HEADROOM >= points_s * stream_bytes * (1 - 1e-12)


def test_shards_grow_with_bytes_when_records_stay() -> None:
    small = msgspec.structs.replace(MEASURED, stream_bytes=20.0)
    large = msgspec.structs.replace(MEASURED, stream_bytes=200.0)
    load = Load(points_s=100_000)
    assert line(plan(load, small), "shards of ticks").count == 2 * 4
    assert line(plan(load, large), "shards of ticks").count == 2 * 32
    assert line(plan(load, small), "PUT").count == line(plan(load, large), "PUT").count


def test_shards_follow_records_when_there_are_many_buckets() -> None:
    few = line(plan(Load(points_s=10_000, buckets=16)), "shards of ticks").count
    many = line(plan(Load(points_s=10_000, buckets=120)), "shards of ticks").count
    assert (few, many) == (2 * 2, 2 * 14)


def test_functions_cost_their_processor_time_in_gigabyte_seconds() -> None:
    found = line(plan(Load(points_s=10_000)), "aggregate:")
    memory = functions.AGGREGATE.memory_mb
    busy = 10_000 * MEASURED.aggregate_us * 1e-6 * LAMBDA_MB_A_CPU / memory
    calls = 2 / 0.2 * MONTH_S / 1e6 * PRICES.lambda_million_calls
    assert found.count == pytest.approx(busy)
    assert found.usd == pytest.approx(busy * memory / 1024 * MONTH_S * PRICES.lambda_gb_s + calls)


def test_state_is_saved_less_often_when_aggregate_has_a_window() -> None:
    without = line(plan(Load(points_s=10_000)), "aggregation state")
    windowed = line(plan(Load(points_s=10_000, window_s=1.0)), "aggregation state")
    assert windowed.count == pytest.approx(without.count / 5)
    assert windowed.usd == pytest.approx(without.usd / 5)


def test_state_takes_whole_units_of_a_table() -> None:
    measured = msgspec.structs.replace(MEASURED, state_bytes=1025.0)
    found = line(plan(Load(points_s=1e6, symbols=16, buckets=16), measured), "aggregation state")
    saves = 16 / 0.2 * MONTH_S / 1e6
    each = 2 * PRICES.write_million_units + PRICES.read_million_units
    assert found.usd == pytest.approx(saves * each)


def test_plan_costs_the_sum_of_its_lines_and_more_for_more_points() -> None:
    plans = [plan(Load(points_s=points_s)) for points_s in (1e3, 1e4, 1e5, 1e6)]
    assert all(one.usd == sum(each.usd for each in one.lines) for one in plans)
    assert [one.usd for one in plans] == sorted({one.usd for one in plans})


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (Load(points_s=100_000), "connections"),
        (Load(points_s=1_000_000), "cannot use"),
        (Load(points_s=1_000_000), "one at a time"),
        (Load(points_s=10, symbols=3), "fill at most 3 buckets"),
    ],
)
def test_plan_warns_of_what_no_money_changes(load: Load, words: str) -> None:
    assert any(words in warning for warning in plan(load).warnings)


def test_plan_warns_of_nothing_when_ten_thousand_points_come() -> None:
    assert plan(Load(points_s=10_000)).warnings == []


@pytest.mark.parametrize(
    "load",
    [
        Load(points_s=0),
        Load(points_s=math.nan),
        Load(points_s=math.inf),
        Load(points_s=1, symbols=0),
        Load(points_s=1, buckets=-1),
        Load(points_s=1, retain_days=0),
        Load(points_s=1, window_s=-1.0),
    ],
)
def test_plan_refuses_a_load_that_is_none(load: Load) -> None:
    with pytest.raises(ValueError, match="expected"):
        plan(load)


def test_capacity_prints_one_object_when_asked_for_json() -> None:
    result = CliRunner().invoke(capacity, ["10000", "--json"])
    document = json.loads(result.output)
    assert result.exit_code == 0
    assert document["usd_month"] == round(plan(Load(points_s=10_000)).usd, 2)
    assert [one["what"] for one in document["lines"]] == [
        one.what for one in plan(Load(points_s=10_000)).lines
    ]


def test_capacity_takes_measured_figures_from_a_file(tmp_path: Path) -> None:
    mine = msgspec.structs.replace(MEASURED, lake_bytes=1.0)
    file = tmp_path / "figures.json"
    file.write_bytes(msgspec.json.encode(mine))
    result = CliRunner().invoke(capacity, ["10000", "--json", "--figures", str(file)])
    expected = plan(Load(points_s=10_000), mine).usd
    assert json.loads(result.output)["usd_month"] == round(expected, 2)


NEGATIVE = msgspec.json.encode(msgspec.structs.replace(MEASURED, ingest_us=-1.0)).decode()


@pytest.mark.parametrize(
    "text", ["", "[]", '{"stream_bytes": 1}', '{"stream_bytes": "x"}', NEGATIVE]
)
def test_capacity_names_the_file_when_its_figures_are_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "figures.json"
    file.write_text(text, encoding="utf-8")
    result = CliRunner().invoke(capacity, ["10000", "--figures", str(file)])
    assert isinstance(result.exception, ConfigError)
    assert str(file) in str(result.exception)


def test_capacity_refuses_zero_points() -> None:
    result = CliRunner().invoke(capacity, ["0"])
    assert result.exit_code == 2
    assert "x>0" in result.output


def test_capacity_shows_warnings_below_the_table() -> None:
    result = CliRunner().invoke(capacity, ["1000000"])
    assert result.exit_code == 0
    assert "all of it" in result.output
    assert "note: " in result.output


def test_page_has_the_tables_the_model_gives() -> None:
    page = ROOT / "docs" / "explanation" / "capacity.md"
    specification = importlib.util.spec_from_file_location(
        "gen_capacity", ROOT / "docs" / "gen_capacity.py"
    )
    assert specification is not None
    assert specification.loader is not None
    generator = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(generator)
    assert generator.tables() in page.read_text(encoding="utf-8"), "run docs/gen_capacity.py"
