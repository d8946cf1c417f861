"""Instruments by date: exact decimals, the quantity unit, halts, renames, delistings."""

from __future__ import annotations

import pickle
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradelake.errors import ConfigError, InvalidData
from tradelake.execution.brokers import ALPACA
from tradelake.execution.brokers.alpaca import TEN_DOLLARS_NS
from tradelake.execution.instruments import (
    InstrumentHistory,
    InstrumentTerms,
    MinimumNotional,
)
from tradelake.execution.layout import NONE
from tradelake.execution.terms import INSTRUMENT, Trading
from tradelake.execution.units import unit_exponent
from tradelake.market.records import Instrument

BTC = "BTC/USD"


def record(event: str = "listed", ts_ns: int = 0, **given: object) -> Instrument:
    fields = {
        "symbol": BTC,
        "status": "active",
        "tradable": event not in ("halted", "delisted"),
        "min_order_size": "0.0001",
        "min_trade_increment": "0.0001",
        "price_increment": "1",
        **given,
    }
    return Instrument(ts_event=ts_ns, ts_ingest=ts_ns, event=event, **fields)  # type: ignore[arg-type]


def rows(*records: Instrument, symbols: tuple[str, ...] = (BTC,), **given: object) -> np.ndarray:
    prices = [60_000.0] * len(symbols)
    return InstrumentHistory.from_records(records).rows(symbols, prices, **given)


def test_rows_are_exact_when_decimals_are_given() -> None:
    # Alpaca's asset BTC/USD in 2022: minimum and increment 0.0001, price increment 1.
    (row,) = rows(record())
    assert row["unit"] == 1e-9
    assert (row["increment"], row["minimum"], row["tick"]) == (100_000, 100_000, 1.0)
    assert (row["trading"], row["renamed_to"], row["minimum_value"]) == (Trading.OPEN, NONE, 0)


@pytest.mark.parametrize(("text", "units"), [("1e-09", 1), ("0.000000002", 2), ("1", 10**9)])
def test_minimum_is_a_whole_count_when_written_in_any_form(text, units) -> None:
    (row,) = rows(record(min_order_size=text, min_trade_increment="0.000000001"))
    assert (row["minimum"], row["increment"]) == (units, 1)


def test_unit_is_finer_than_nine_digits_when_an_increment_is() -> None:
    (row,) = rows(record(min_trade_increment="0.0000000001", min_order_size=""))
    assert (row["unit"], row["increment"], row["minimum"]) == (1e-10, 1, 0)


def test_defaults_hold_when_nothing_is_known() -> None:
    history = InstrumentHistory()
    (row,) = history.rows([BTC], [60_000.0])
    assert row["unit"] == 1e-9
    assert (row["increment"], row["minimum"], row["tick"]) == (1, 0, 0.0)
    assert history.unknown([BTC]) == (BTC,)
    assert InstrumentHistory.of(BTC).unknown([BTC, "A/USD"]) == ("A/USD",)


@given(
    st.integers(-12, 3),
    st.integers(1, 99),
    st.floats(1e-9, 1e7),
)
def test_increment_is_whole_in_units_and_holdings_fit_when_any_is_given(exponent, digits, price):
    increment = Decimal(digits).scaleb(exponent)
    history = InstrumentHistory.of(BTC, min_trade_increment=str(increment))
    (row,) = history.rows([BTC], [price])
    unit = Fraction(10) ** unit_exponent([increment], price)
    assert row["unit"] == float(unit)
    assert (int(row["increment"]) * unit / Fraction(increment)).denominator == 1
    assert row["increment"] >= 1
    assert Fraction(10) ** 11 / Fraction(price) / unit < 2**62


@given(st.floats(1e-9, 1e7))
def test_unit_is_the_smallest_that_fits_when_the_price_is_low(price) -> None:
    exponent = unit_exponent([], price)
    finer = Fraction(10) ** (exponent - 1)
    assert exponent == -9 or Fraction(10) ** 11 / Fraction(price) / finer >= 2**62


def test_minimum_rounds_up_when_the_unit_is_coarser() -> None:
    history = InstrumentHistory.of("PEPE/USD", min_order_size="0.000000003")
    (row,) = history.rows(["PEPE/USD"], [0.00001])
    assert row["unit"] == 0.01
    assert row["minimum"] == 1


def test_rows_follow_events_when_an_instrument_lives() -> None:
    made = rows(
        record("listed", 10),
        record("changed", 20, min_trade_increment="0.00001"),
        record("halted", 30),
        record("changed", 40, tradable=False, price_increment="0.5"),
        record("resumed", 50),
        record("delisted", 60, status="inactive"),
    )
    assert made["from_ns"].tolist() == [0, 10, 20, 30, 40, 50, 60]
    names = [Trading(code).name for code in made["trading"]]
    assert names == ["OPEN", "OPEN", "OPEN", "HALTED", "HALTED", "OPEN", "DELISTED"]
    assert made["increment"].tolist() == [10**5, 10**5, 10**4, 10**5, 10**5, 10**5, 10**5]
    assert made["tick"].tolist() == [1.0, 1.0, 1.0, 1.0, 0.5, 1.0, 1.0]
    assert len(set(made["unit"])) == 1


def test_rows_are_open_from_the_start_when_the_first_thing_known_is_a_halt() -> None:
    made = rows(record("halted", 10))
    assert made["trading"].tolist() == [Trading.OPEN, Trading.HALTED]
    assert made["increment"].tolist() == [10**5, 10**5]


def test_terms_stay_as_they_were_when_a_later_record_leaves_them_empty() -> None:
    made = rows(
        record("listed", 0),
        record("halted", 5, min_order_size="", min_trade_increment="", price_increment=""),
    )
    assert made["tick"].tolist() == [1.0, 1.0]
    assert made["minimum"].tolist() == [10**5, 10**5]


def test_rows_are_the_same_when_records_come_in_another_order() -> None:
    records = [record("listed", 1), record("halted", 2), record("resumed", 3)]
    assert rows(*records).tolist() == rows(*records[::-1]).tolist()


def test_the_last_record_holds_when_two_have_one_instant() -> None:
    made = rows(record("listed", 5), record("halted", 5))
    assert made["trading"].tolist() == [Trading.OPEN, Trading.HALTED]
    assert made["from_ns"].tolist() == [0, 5]


def test_a_rename_points_at_the_symbol_that_follows_when_both_are_in_the_run() -> None:
    made = rows(
        record("renamed", 9, symbol="OLD/USD", renamed_to="NEW/USD", min_trade_increment="1e-9"),
        record("listed", 9, symbol="NEW/USD", min_trade_increment="1e-10"),
        symbols=("NEW/USD", "OLD/USD"),
    )
    assert made["symbol"].tolist() == [0, 0, 1, 1]
    assert made["renamed_to"].tolist() == [NONE, NONE, NONE, 0]
    assert len(set(made["unit"])) == 1, "a position is carried over in units"


def test_a_rename_is_refused_when_the_new_symbol_is_not_in_the_run() -> None:
    history = InstrumentHistory.from_records([record("renamed", 9, renamed_to="XBT/USD")])
    with pytest.raises(ConfigError, match="XBT/USD"):
        history.rows([BTC], [60_000.0])
    assert len(history.rows([BTC], [60_000.0], until_ns=9)) == 1


def test_what_comes_after_the_run_is_left_out_when_its_end_is_told() -> None:
    assert len(rows(record("listed", 0), record("delisted", 100), until_ns=100)) == 1
    assert len(rows(record("listed", 0), record("delisted", 100), until_ns=101)) == 2


def test_rows_are_cut_when_the_brokers_minimum_changes() -> None:
    history = InstrumentHistory.from_records([record("listed", 0), record("halted", 7)])
    minima = (MinimumNotional(0, 1.0), MinimumNotional(5, 10.0), MinimumNotional(6, 99.0, "EUR"))
    made = history.rows([BTC], [60_000.0], minimum_notional=minima)
    assert made["from_ns"].tolist() == [0, 5, 7]
    assert made["minimum_value"].tolist() == [10**8, 10**9, 10**9]
    assert made["trading"].tolist() == [Trading.OPEN, Trading.OPEN, Trading.HALTED]


def test_alpacas_smallest_order_is_ten_dollars_when_it_was_reported() -> None:
    made = ALPACA.instruments(InstrumentHistory(), [BTC, "ETH/BTC"], [60_000.0, 0.05])
    assert made.dtype == INSTRUMENT
    assert made["symbol"].tolist() == [0, 0, 1]
    assert made["from_ns"].tolist() == [0, TEN_DOLLARS_NS, 0]
    assert made["minimum_value"].tolist() == [10**8, 10**9, 0]


def test_nothing_binds_when_it_is_not_enforced_but_halts_do() -> None:
    made = rows(
        record("listed", 0), record("halted", 5), enforce=False,
        minimum_notional=(MinimumNotional(0, 1.0),),
    )  # fmt: skip
    for name in ("increment", "minimum", "minimum_value", "tick"):
        assert not made[name].any()
    assert made["trading"].tolist() == [Trading.OPEN, Trading.HALTED]


def test_rows_are_as_written_when_terms_are_made_by_hand() -> None:
    history = InstrumentHistory().with_symbol(
        BTC,
        InstrumentTerms(0, min_trade_increment=Decimal("0.5")),
        InstrumentTerms(8, trading=Trading.DELISTED),
    )
    made = history.rows([BTC], [100.0])
    assert made["increment"].tolist() == [5 * 10**8, 1]
    assert made["trading"].tolist() == [Trading.OPEN, Trading.DELISTED]


def test_an_increment_of_zero_says_that_there_is_none() -> None:
    made = rows(
        record("listed", 5), record("changed", 9, min_trade_increment="0", price_increment="0.0")
    )
    assert made["increment"].tolist() == [10**5, 10**5, 1]
    assert made["tick"].tolist() == [1.0, 1.0, 0.0]


def test_those_without_an_increment_are_told_when_it_holds_before_the_end() -> None:
    history = InstrumentHistory.from_records(
        [record("listed", 5), record("changed", 9, min_trade_increment="0")]
    )
    assert history.unsaid([BTC, "ETH/USD"], 9) == ()
    assert history.unsaid([BTC, "ETH/USD"], 10) == (BTC,)
    assert history.unsaid([BTC]) == (BTC,)


def test_what_is_wrong_after_the_end_refuses_nothing_when_the_end_is_told() -> None:
    later = record("changed", 100, min_trade_increment="1e-20")
    told = [record("listed", 0), record("halted", 50), later, record("delisted", 200)]
    history = InstrumentHistory.from_records(told, until_ns=100)
    assert [one.from_ns for one in history.terms[BTC]] == [0, 50]
    assert InstrumentHistory.from_records([later], until_ns=100).unknown([BTC]) == (BTC,)
    with pytest.raises(InvalidData, match=r"^decimal: .* found '1e-20' in Instrument changed"):
        InstrumentHistory.from_records(told, until_ns=101)


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        (record(min_order_size="-1"), "decimal"),
        (record(min_order_size="NaN"), "decimal"),
        (record(min_trade_increment="1e-20"), "decimal"),
        (record(min_trade_increment="1e-300"), "decimal"),
        (record(price_increment="sNaN"), "decimal"),
        (record(price_increment="a lot"), "decimal"),
        (record(price_increment=0.1), "decimal"),
        (record(min_order_size="1e10"), "decimal"),
        (record(price_increment="Infinity"), "decimal"),
        (record("renamed"), "renamed_to"),
        (record("renamed", renamed_to=BTC), "renamed_to"),
        (record("listed", renamed_to="XBT/USD"), "renamed_to"),
        (record("vanished"), "instrument_event"),
        (record("listed", -1), "negative_time"),
    ],
)
def test_a_record_is_refused_by_name_and_rule_when_it_is_bad(bad, rule) -> None:
    with pytest.raises(InvalidData, match=rf"^{rule}: .* in Instrument {bad.event} {BTC} at"):
        InstrumentHistory.from_records([bad])


@pytest.mark.parametrize("price", [0.0, -1.0, float("nan"), float("inf")])
def test_rows_are_refused_when_a_first_price_is_no_price(price) -> None:
    with pytest.raises(InvalidData, match=r"price: first of BTC/USD"):
        InstrumentHistory().rows([BTC], [price])


def test_rows_are_refused_when_a_minimum_is_worth_more_than_can_be_counted() -> None:
    history = InstrumentHistory.of(BTC, min_order_size="1e9", min_trade_increment="1e-12")
    with pytest.raises(InvalidData, match="too_large"):
        history.rows([BTC], [1e7], minimum_notional=())
    assert history.rows([BTC], [1.0])["minimum"].tolist() == [10**16]


def test_rows_of_the_lake_say_what_records_do_when_read() -> None:
    row = {
        "venue": "alpaca", "symbol": BTC, "ts_event_ns": 5, "ts_ingest_ns": 6, "event": "halted",
        "status": "active", "tradable": False, "min_order_size": "0.0001",
        "min_trade_increment": "0.0001", "price_increment": "1", "renamed_to": None, "flags": None,
    }  # fmt: skip
    assert InstrumentHistory.from_rows([row]) == InstrumentHistory.from_records(
        [record("halted", 5)]
    )


@pytest.mark.parametrize("row", [{}, {"symbol": BTC}, {"symbol": BTC, "ts_event_ns": "now"}])
def test_a_row_is_refused_when_columns_are_missing(row) -> None:
    with pytest.raises(InvalidData, match="instrument_row"):
        InstrumentHistory.from_rows([row])


def test_a_history_is_the_same_when_it_was_sent_to_another_process() -> None:
    history = InstrumentHistory.from_records([record(), record("halted", 5)])
    assert pickle.loads(pickle.dumps(history)) == history


def test_rows_are_refused_when_symbols_repeat_or_prices_lack() -> None:
    for symbols, prices in (([BTC, BTC], [1.0, 1.0]), ([BTC], [])):
        with pytest.raises(ConfigError, match="without repetition"):
            InstrumentHistory().rows(symbols, prices)


def test_a_history_is_refused_when_its_dates_do_not_rise() -> None:
    for dated in ((), (InstrumentTerms(3), InstrumentTerms(3))):
        with pytest.raises(ConfigError, match="rising from_ns"):
            InstrumentHistory({BTC: dated})


def test_hand_made_terms_are_refused_when_they_make_no_sense() -> None:
    for made in ({"from_ns": -1}, {"from_ns": 0, "price_increment": Decimal(-1)}):
        with pytest.raises(ConfigError, match="instrument"):
            InstrumentTerms(**made)
