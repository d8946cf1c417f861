"""Parts of the demo: the source it takes, the history it studies, what it prints."""

from __future__ import annotations

import io
import json

import pyarrow as pa
import pytest
from rich.console import Console

from tradelake.errors import ConfigError, Fatal, InsufficientData
from tradelake.local.board import Board
from tradelake.local.demo.closing import account_table
from tradelake.local.demo.run import study_window
from tradelake.local.demo.sources import choose_source
from tradelake.local.exchange_client import HistoryRange
from tradelake.local.tabular import show
from tradelake.usecases.reconcile import Line

DAY_NS = 86_400 * 10**9
MINUTE_NS = 60 * 10**9


def never():
    raise AssertionError("Alpaca was asked though a source was named")


def test_choose_source_takes_the_named_recording(tmp_path):
    source = choose_source(tmp_path, never)
    assert (source.kind, source.data) == ("recorded", tmp_path)


def test_choose_source_refuses_a_named_folder_that_is_missing(tmp_path):
    with pytest.raises(ConfigError, match="found nothing at"):
        choose_source(tmp_path / "no", never)


def test_choose_source_takes_alpaca_when_nothing_was_named_and_it_answers(tmp_path):
    source = choose_source(None, lambda: tmp_path)
    assert (source.kind, source.data) == ("alpaca", tmp_path)


def test_choose_source_makes_a_market_up_when_there_is_nothing_else():
    source = choose_source(None, lambda: None)
    assert source.kind == "synthetic"
    assert source.exchange_arguments() == ["--synthetic"]


def test_choose_source_says_why_when_alpaca_refuses():
    def refused():
        raise Fatal("/crypto/us/trades: HTTP 403: forbidden.")

    source = choose_source(None, refused)
    assert source.kind == "synthetic"
    assert "HTTP 403" in source.why


def test_choose_source_asks_nobody_when_a_synthetic_market_is_asked_for(tmp_path):
    assert choose_source(tmp_path, never, synthetic=True).kind == "synthetic"


def stretch(first_day, days):
    return HistoryRange(first_day * DAY_NS, (first_day + days) * DAY_NS - MINUTE_NS, days * 1440)


def test_study_window_takes_the_last_days_that_the_longest_series_share():
    ranges = {"A/USD": stretch(0, 300), "B/USD": stretch(50, 240), "C/USD": stretch(0, 30)}
    window = study_window(ranges, 120)
    assert window.symbols == ("A/USD", "B/USD")
    assert window.end_ns == 290 * DAY_NS
    assert window.start_ns == 170 * DAY_NS


def test_study_window_prefers_bitcoin_and_ether_among_equals():
    ranges = {f"{base}/USD": stretch(0, 90) for base in ("AAVE", "BTC", "ETH", "LTC")}
    assert study_window(ranges, 60).symbols == ("BTC/USD", "ETH/USD")


def test_study_window_is_shorter_when_less_is_shared():
    window = study_window({"A/USD": stretch(0, 100), "B/USD": stretch(60, 100)}, 120)
    assert (window.end_ns - window.start_ns) // DAY_NS == 40


@pytest.mark.parametrize(
    "ranges", [{}, {"A/USD": stretch(0, 100), "B/USD": stretch(95, 100)}], ids=["none", "apart"]
)
def test_study_window_refuses_when_there_is_too_little(ranges):
    with pytest.raises(InsufficientData, match=r"minute bars|days"):
        study_window(ranges, 120)


def line(symbol, sent, stored):
    return Line(
        channel="trades",
        symbol=symbol,
        sent=sent,
        stored=stored,
        quarantined=0,
        duplicates=0,
        unrecoverable=0,
        doubled=0,
    )


def printed(lines):
    out = io.StringIO()
    account_table(Console(file=out, width=120), lines)
    return out.getvalue()


def test_account_table_shows_a_row_for_each_symbol():
    text = printed([line("A/USD", 5, 5), line("B/USD", 7, 7)])
    assert "A/USD" in text
    assert "B/USD" in text
    assert "12" in text


def test_account_table_sums_many_symbols_but_names_the_one_that_does_not_balance():
    lines = [line(f"S{n}/USD", 10, 10) for n in range(60)] + [line("BAD/USD", 10, 9)]
    text = printed(lines)
    assert "61 symbols" in text
    assert "S3/USD" not in text
    assert "BAD/USD" in text


def test_board_prints_one_line_as_each_stage_ends_when_there_is_no_terminal():
    out = io.StringIO()
    seconds = iter([0.0, 2.5, 3.0, 4.0])
    with Board(("one", "two"), Console(file=out), lambda: next(seconds)) as board:
        with board.stage("one") as stage:
            stage.detail = "fine [bold]"
        with pytest.raises(ValueError, match="no"), board.stage("two"):
            raise ValueError("no")
    lines = out.getvalue().splitlines()
    assert lines[0] == "ok        2.5 s  one: fine [bold]"
    assert lines[1].startswith("failed    1.0 s  two")


def test_show_writes_one_json_object_a_line(capsys):
    show(pa.table({"a": [1, 2], "b": ["x", None]}), "json")
    rows = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert rows == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]


def test_show_says_how_many_rows_a_table_leaves_out(capsys):
    show(pa.table({"a": list(range(250))}), "table")
    assert "50 more rows" in capsys.readouterr().out
