"""The transform function: results are stored under the stamp, what explodes hurts nobody."""

import importlib.util
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.functions.kinesis import ROOT, StreamInMemory, batch_event, sequence
from tradelake.adapters.aws.kinesis_events import received_records
from tradelake.errors import ConfigError
from tradelake.market.records import Bar, BookUpdate, Derived, Quote, Rejected, Trade
from tradelake.ports import Received
from tradelake.stream.envelope import (
    Batch,
    check_stamp,
    decode_batches,
    decode_record,
    encode_batch,
)
from tradelake.transforms import MAX_RESULTS, Transform, load, results, transform
from tradelake.usecases.transform import PART_BYTES, Limits, Transforming

T = 1_723_161_600_000_000_000


def trade(n, price=100.0, symbol="BTC/USD", **more):
    return Trade(symbol, T + n, T + n + 5, n, price, 2.0, **more)


def batch(seq, *records, bucket=3, origin=""):
    return Batch("live", "us", 5, bucket, seq, T, list(records), origin)


@transform(channel="trades", name="value")
def value(one):
    return {"value": one.price * one.size}


@transform(channel="trades", name="dear", symbols=("BTC/USD",))
def dear(one):
    return msgspec.structs.replace(one, price=one.price * 10) if one.price > 100 else None


@transform(channel="trades", name="explodes")
def explodes(one):
    raise RuntimeError(f"no {one.trade_id}\n\ud800")


class Run:
    def __init__(self, *transforms, limits=None, seconds=lambda: 0.0):
        self.derived, self.quarantine = StreamInMemory(), StreamInMemory()
        more = {} if limits is None else {"limits": limits}
        self.work = Transforming(transforms, self.derived, self.quarantine, seconds, **more)

    def __call__(self, *batches):
        return self.work.run(received_records(batch_event(batches)))

    @staticmethod
    def batches(stream):
        return [one for record in stream.records for one in decode_batches(record.data)]


def test_results_keep_the_stamp_the_symbol_the_times_and_the_flags():
    run = Run(value)
    source = batch(7, trade(1, flags="spike"), trade(2, 50.0, "ETH/USD"), origin="b")
    outcome = run(source)
    (made,) = run.batches(run.derived)
    assert made == msgspec.structs.replace(
        source,
        records=[
            Derived("BTC/USD", T + 1, T + 6, "value", '{"value":200.0}', 0, "spike"),
            Derived("ETH/USD", T + 2, T + 7, "value", '{"value":100.0}', 1),
        ],
    )
    assert [record.key for record in run.derived.records] == ["3"]
    assert (outcome.records, outcome.derived) == ({"value": 2}, {"value": 2})
    assert run.quarantine.records == []


def test_a_transform_filters_and_enriches_only_what_it_asked_for():
    run = Run(dear)
    quote = Quote("BTC/USD", T, T, 1.0, 1.0, 2.0, 1.0)
    run(batch(0, trade(1), trade(2, 101.0), trade(3, 500.0, "ETH/USD"), quote))
    (made,) = run.batches(run.derived)
    assert [json.loads(one.fields) for one in made.records] == [
        {"trade_id": 2, "price": 1010.0, "size": 2.0, "taker_side": ""}
    ]


def test_a_batch_of_which_nothing_is_derived_makes_no_record():
    run = Run(dear)
    run(batch(0), batch(1, trade(1)))
    assert run.derived.records == run.quarantine.records == []


def test_an_exploding_transform_quarantines_its_record_and_hurts_nothing_else():
    run = Run(explodes, value)
    source = batch(4, trade(1), trade(2))
    outcome = run(source, batch(5, trade(3)))
    assert [len(one.records) for one in run.batches(run.derived)] == [2, 1]
    first, second = run.batches(run.quarantine)
    assert (first.source_key, first.position) == ("live/us~transform/3", (5, 4))
    assert [(r.rule, r.position, r.channel, r.reason) for r in first.records] == [
        ("transform:explodes", -1, "derived", "RuntimeError: no 1 ?"),
        ("transform:explodes", -2, "derived", "RuntimeError: no 2 ?"),
    ]
    assert [decode_record(r.raw) for r in first.records] == source.records
    assert len(second.records) == 1
    assert outcome.rejected == {"explodes": 3}
    assert outcome.failed_from is None


def test_rejects_of_transforms_and_of_validate_are_different_sources_and_rows():
    run = Run(explodes)
    stamp = batch(4, trade(1), origin="b")
    run(stamp)
    (bad,) = run.batches(run.quarantine)
    check_stamp(bad)
    assert bad.source_key != stamp.source_key
    assert all(one.position < 0 for one in bad.records)


def leave(_):
    raise SystemExit(3)


class Unspeakable(Exception):
    def __str__(self):
        raise ValueError


def unspeakable(_):
    raise Unspeakable


def late_error(_):
    yield {"a": 1}
    raise KeyError("late")


CYCLE: list = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (leave, "SystemExit: 3"),
        (unspeakable, "Unspeakable: a message that cannot be shown"),
        (late_error, "KeyError: 'late'"),
        (lambda _: 7, "expected a Trade, a dict or None; found int"),
        (lambda _: "text", "found str"),
        (lambda _: [{"a": 1}, 3], "found int"),
        (lambda _: {"a": object()}, "expected JSON values"),
        (lambda _: {"a": CYCLE}, "expected JSON values"),
        (lambda _: {(1, 2): 3}, "expected JSON values"),
        (lambda _: {"a": "\ud800"}, "expected JSON values"),
        (lambda _: {"a": "x" * 70_000}, "expected at most 65536 bytes of JSON"),
        (lambda _: ({} for _ in range(MAX_RESULTS + 1)), f"at most {MAX_RESULTS} results"),
        (lambda _: Quote("A/USD", 1, 1, 1, 1, 1, 1), "found Quote"),
    ],
)
def test_a_record_is_quarantined_whole_when_the_answer_cannot_be_stored(function, reason):
    run = Run(Transform("bad", "trades", frozenset(), function), value)
    run(batch(0, trade(1)))
    ((bad,),) = [one.records for one in run.batches(run.quarantine)]
    assert reason in bad.reason
    assert [one.transform for one in run.batches(run.derived)[0].records] == ["value"]


def test_a_slow_transform_is_given_no_more_of_its_batch_and_others_go_on():
    now = [0.0]

    def slow(one):
        now[0] += 1.5
        return {"id": one.trade_id}

    run = Run(
        Transform("slow", "trades", frozenset(), slow),
        value,
        limits=Limits(limit_s=2.0),
        seconds=lambda: now[0],
    )
    outcome = run(batch(0, *[trade(n) for n in range(5)]), batch(1, trade(9)))
    assert outcome.derived == {"slow": 3, "value": 6}
    assert outcome.rejected == {"slow": 3}
    assert outcome.seconds["slow"] == 4.5
    assert (
        "expected at most 2 s a batch; found 3 s"
        in run.batches(run.quarantine)[0].records[0].reason
    )


def test_batches_are_handed_over_again_when_the_invocation_lasts_too_long():
    now = [0.0]

    def slow(_):
        now[0] += 20.0

    run = Run(Transform("slow", "trades", frozenset(), slow), seconds=lambda: now[0])
    assert run(*[batch(n, trade(n)) for n in range(5)]).failed_from == 2


def test_everything_is_handed_over_again_when_a_stream_refuses():
    run = Run(value, explodes)
    run.derived.refuse_next()
    outcome = run(batch(0, trade(1)))
    assert outcome.failed_from == 0
    assert len(run.quarantine.records) == 1
    again = run(batch(0, trade(1)))
    assert again.failed_from is None
    assert run.quarantine.records[0] == run.quarantine.records[1]


def test_large_results_come_in_parts_that_are_sources_of_their_own_and_lose_nothing():
    noise = "".join(chr(0x4E00 + n * 7919 % 20_000) for n in range(20_000))
    run = Run(Transform("wide", "trades", frozenset(), lambda one: {"x": noise, "n": one.trade_id}))
    run(batch(0, *[trade(n) for n in range(40)]))
    parts = run.batches(run.derived)
    assert [one.origin for one in parts] == ["", "1", "2"]
    assert len({one.source_key for one in parts}) == len(parts)
    assert [one.ordinal for part in parts for one in part.records] == list(range(40))
    assert all(len(record.data) <= PART_BYTES + 1024 for record in run.derived.records)


def test_what_is_no_batch_is_left_to_deliver():
    run = Run(value)
    outcome = run.work.run([Received(sequence(0), "3", b"rubbish", T)])
    assert (outcome.unreadable, outcome.failed_from) == (1, None)


def test_nothing_is_decoded_when_there_is_no_transform():
    outcome = Run().work.run([Received(sequence(0), "3", b"rubbish", T)])
    assert (outcome.bundles, outcome.unreadable) == (1, 0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4))
def test_any_json_object_is_stored_as_it_is(content):
    one = Transform("same", "trades", frozenset(), lambda _: content)
    (made,) = results(one, trade(1), 0)
    assert json.loads(made.fields) == content


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channel": "trade", "name": "a"}, "expected a channel of trades"),
        ({"channel": "trades", "name": ""}, "expected a name"),
        ({"channel": "trades", "name": "a,b"}, "expected a name"),
        ({"channel": "trades", "name": "a", "symbols": "BTC/USD"}, "expected several symbols"),
    ],
)
def test_a_registration_is_refused_when_it_cannot_work(options, message):
    with pytest.raises(ConfigError, match=message):
        transform(**options)


def write_module(folder, monkeypatch, name, text):
    (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))


ONE = """
from tradelake.transforms import transform

@transform(channel="trades", name="{}")
def f(trade): ...
"""


def test_modules_are_loaded_in_order_and_an_imported_transform_counts_once(tmp_path, monkeypatch):
    write_module(tmp_path, monkeypatch, "user_one", ONE.format("first"))
    write_module(tmp_path, monkeypatch, "user_two", "from user_one import f\n" + ONE.format("b"))
    assert [one.name for one in load("user_one, user_two,")] == ["first", "b"]
    assert load("") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise ValueError('no\\nway')", "cannot be imported: ValueError: no way"),
        ("X = 1", "holds none"),
        (ONE.format("a") + ONE.format("a").replace("def f", "def g"), "two are named 'a'"),
    ],
)
def test_a_module_is_refused_with_its_name_when_it_cannot_be_used(
    tmp_path, monkeypatch, text, message, request
):
    name = f"user_bad_{abs(hash(request.node.name))}"
    write_module(tmp_path, monkeypatch, name, text)
    with pytest.raises(ConfigError, match=message):
        load(name)


def test_a_module_that_is_absent_is_named():
    with pytest.raises(ConfigError, match="no_such_module cannot be imported"):
        load("no_such_module")


def test_the_shipped_examples_run():
    path = ROOT / "examples" / "transforms" / "large_trades.py"
    spec = importlib.util.spec_from_file_location("large_trades_example", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    run = Run(module.large_trades, module.whole_cents, module.walls)
    outcome = run(
        batch(
            0,
            trade(1, 61_000.0),
            trade(2, 10.0),
            Quote("BTC/USD", T, T, 10.019, 1.0, 10.021, 1.0),
            BookUpdate("BTC/USD", T, T, [(61_000.0, 1.0), (60_000.0, 0.1)], [(62_000.0, 2.0)]),
            Bar("BTC/USD", T, T, 1, 1, 1, 1, 1, 1, 1, "1m", "alpaca", "bars"),
        )
    )
    assert outcome.rejected == {}
    assert outcome.derived == {"large_trades": 1, "whole_cents": 1, "walls": 2}
    fields = [json.loads(one.fields) for one in run.batches(run.derived)[0].records]
    assert fields[0]["value"] == 122_000.0
    assert (fields[1]["bid"], fields[1]["ask"]) == (10.01, 10.03)


def test_a_reject_is_never_given_to_a_transform():
    run = Run(value)
    run(batch(0, Rejected("BTC/USD", T, T, "trades", "crossed", "why", b"", 3)))
    assert run.derived.records == []
    assert encode_batch(batch(0)) != b""
