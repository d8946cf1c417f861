"""Frames become records; what cannot be read is kept; nothing raises."""

from __future__ import annotations

import datetime as dt
import json
import math

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradelake.feed.decode import FrameDecoder, bar_revision
from tradelake.feed.messages import Acknowledgement, ErrorMessage, Success
from tradelake.market.records import Bar, BookUpdate, Quote, Trade, Unreadable
from tradelake.stream.envelope import Batch, decode_batch, encode_batch

NOW = 1_710_239_270_000_000_000
TEXT_TIME = "2024-03-12T10:27:48.858228144Z"
NS = 1_710_239_268_858_228_144
TRADE = {
    "T": "t",
    "S": "AVAX/USD",
    "p": 47.299,
    "s": 29.205707815,
    "t": TEXT_TIME,
    "i": 3447222699101865076,
    "tks": "S",
}
QUOTE = {"T": "q", "S": "BTC/USD", "bp": 1.5, "bs": 2.0, "ap": 1.75, "as": 3.0, "t": TEXT_TIME}
BOOK = {
    "T": "o",
    "S": "BTC/USD",
    "t": TEXT_TIME,
    "b": [{"p": 1.0, "s": 2.0}],
    "a": [{"p": 3.0, "s": 0}],
    "r": True,
}
BAR = {
    "T": "b",
    "S": "BTC/USD",
    "o": 1.0,
    "h": 4.0,
    "l": 0.5,
    "c": 2.0,
    "v": 10.0,
    "t": "2024-03-12T10:27:00Z",
    "n": 7,
    "vw": 1.5,
}


def packed_time(ns: int) -> msgpack.Timestamp:
    return msgpack.Timestamp(ns // 10**9, ns % 10**9)


def as_text(*messages: object) -> str:
    return json.dumps(list(messages))


def as_binary(*messages: dict) -> bytes:
    return msgpack.packb([{**m, "t": packed_time(NS)} if "t" in m else m for m in messages])


ENCODINGS = pytest.mark.parametrize("encode", [as_text, as_binary], ids=["json", "msgpack"])


@ENCODINGS
def test_trade_keeps_time_and_id_exact_when_decoded(encode):
    records, controls = FrameDecoder().decode(encode(TRADE), NOW)
    assert records == [
        Trade("AVAX/USD", NS, NOW, 3447222699101865076, 47.299, 29.205707815, "sell")
    ]
    assert controls == []


@ENCODINGS
def test_quote_and_book_are_decoded_in_order_when_in_one_frame(encode):
    records, _ = FrameDecoder().decode(encode(QUOTE, BOOK), NOW)
    assert records == [
        Quote("BTC/USD", NS, NOW, 1.5, 2.0, 1.75, 3.0, 0),
        BookUpdate("BTC/USD", NS, NOW, [(1.0, 2.0)], [(3.0, 0.0)], True, 0),
    ]


@pytest.mark.parametrize(
    ("tag", "channel", "timeframe"),
    [("b", "bars", "1m"), ("u", "updatedBars", "1m"), ("d", "dailyBars", "1d")],
)
def test_bar_says_its_channel_and_timeframe_when_decoded(tag, channel, timeframe):
    [bar], _ = FrameDecoder().decode(as_text({**BAR, "T": tag}), NOW)
    assert isinstance(bar, Bar)
    assert (bar.channel, bar.timeframe, bar.source, bar.trades) == (channel, timeframe, "alpaca", 7)
    assert bar.revision == bar_revision(1.0, 4.0, 0.5, 2.0, 10.0, 1.5, 7)


def test_bar_revision_is_the_same_number_for_ever_when_content_is():
    # b2sum -l 64 of the six doubles and the count, little-endian, read as a signed integer
    assert bar_revision(1.0, 4.0, 0.5, 2.0, 10.0, 1.5, 7) == -6992950378709152366
    assert bar_revision(1.0, 4.0, 0.5, 2.0, 10.0, 1.5, 8) != -6992950378709152366


def test_daily_bar_is_partial_when_its_day_has_not_ended():
    decoder = FrameDecoder()
    [during], _ = decoder.decode(as_text({**BAR, "T": "d"}), NOW)
    [after], _ = decoder.decode(as_text({**BAR, "T": "d"}), NOW + 86_400 * 10**9)
    assert (during.status, after.status) == ("partial", "complete")


def test_occurrence_counts_equal_quotes_when_the_time_stands_still():
    decoder = FrameDecoder()
    other = {**QUOTE, "bp": 1.25}
    later = {**QUOTE, "t": "2024-03-12T10:27:49Z"}
    frame = as_text(QUOTE, QUOTE, other, QUOTE, {**QUOTE, "S": "ETH/USD"}, later, QUOTE)
    records, _ = decoder.decode(frame, NOW)
    assert [r.occurrence for r in records] == [0, 1, 0, 2, 0, 0, 0]


def test_occurrence_starts_again_when_the_connection_is_new():
    first, second = FrameDecoder(), FrameDecoder()
    assert first.decode(as_text(BOOK), NOW) == second.decode(as_text(BOOK), NOW)


@ENCODINGS
def test_control_messages_are_told_apart_when_decoded(encode):
    _, controls = FrameDecoder().decode(
        encode(
            {"T": "success", "msg": "connected"},
            {"T": "error", "code": 406, "msg": "connection limit exceeded"},
            {"T": "subscription", "trades": ["BTC/USD"], "updatedBars": ["*"]},
        ),
        NOW,
    )
    assert controls == [
        Success("connected"),
        ErrorMessage(406, "connection limit exceeded"),
        Acknowledgement(trades=("BTC/USD",), updated_bars=("*",)),
    ]


@pytest.mark.parametrize(
    "bad",
    [
        {**TRADE, "p": "47"},
        {**TRADE, "i": 2**63},
        {**TRADE, "t": "2024-02-30T00:00:00Z"},
        {**TRADE, "t": "9999-01-01T00:00:00Z"},
        {**TRADE, "t": "2024-03-12T10:27:48.8582281441Z"},
        {**TRADE, "tks": "X"},
        {"T": "t", "S": "AVAX/USD"},
        {**TRADE, "t": 5},
    ],
)
def test_message_becomes_unreadable_and_its_neighbours_survive_when_it_is_bad(bad):
    records, _ = FrameDecoder().decode(as_text(QUOTE, bad, TRADE), NOW)
    before, unreadable, after = records
    assert isinstance(before, Quote)
    assert isinstance(after, Trade)
    assert isinstance(unreadable, Unreadable)
    assert (unreadable.symbol, unreadable.channel, unreadable.ts_ingest) == (
        "AVAX/USD",
        "trades",
        NOW,
    )
    assert json.loads(unreadable.raw) == bad


def test_message_is_unreadable_when_its_kind_is_unknown():
    [record], controls = FrameDecoder().decode(as_text({"T": "halt", "S": "BTC/USD"}), NOW)
    assert isinstance(record, Unreadable)
    assert (record.symbol, record.channel, controls) == ("BTC/USD", "unknown", [])


@pytest.mark.parametrize(
    "frame",
    ["", "[", "{}", '[{"T":"t"', b"", b"\xdd\xff\xff\xff\xff", b"\xc1", b"\x93", "nonsense"],
)
def test_frame_becomes_one_unreadable_when_it_cannot_be_parsed(frame):
    [record], _ = FrameDecoder().decode(frame, NOW)
    assert isinstance(record, Unreadable)
    assert record.raw == (frame.encode() if isinstance(frame, str) else frame)


@ENCODINGS
def test_truncated_frame_is_kept_whole_when_it_breaks_off(encode):
    frame = encode(TRADE, QUOTE)
    for cut in range(len(frame)):
        [record], _ = FrameDecoder().decode(frame[:cut], NOW)
        assert isinstance(record, Unreadable)
        assert len(record.raw) == cut


def test_deep_nesting_is_unreadable_when_it_exceeds_the_stack():
    [record], _ = FrameDecoder().decode("[" * 100_000, NOW)
    assert isinstance(record, Unreadable)


def test_nan_is_passed_on_when_the_binary_encoding_says_so():
    [record], _ = FrameDecoder().decode(as_binary({**TRADE, "p": math.nan}), NOW)
    assert isinstance(record, Trade)
    assert math.isnan(record.price)


@given(st.integers(min_value=-(2**63) + 1, max_value=2**63 - 1))
def test_timestamp_extension_is_exact_when_any_instant_is_packed(ns):
    frame = msgpack.packb([{**QUOTE, "t": packed_time(ns)}])
    [record], _ = FrameDecoder().decode(frame, NOW)
    assert record.ts_event == ns


@given(
    st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2260, 1, 1)),  # noqa: DTZ001
    st.integers(0, 10**9 - 1),
    st.integers(0, 9),
    st.sampled_from(["Z", "+00:00", "-05:30", "+14:00"]),
)
def test_rfc3339_is_exact_when_it_has_up_to_nine_digits(moment, nanos, digits, zone):
    moment = moment.replace(microsecond=0)
    fraction = f"{nanos:09d}"[:digits]
    text = moment.isoformat() + (f".{fraction}" if fraction else "") + zone
    aware = dt.datetime.fromisoformat(moment.isoformat() + zone.replace("Z", "+00:00"))
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    expected = (aware - epoch) // dt.timedelta(seconds=1) * 10**9 + int(fraction.ljust(9, "0"))
    decoder = FrameDecoder()
    for _ in range(2):
        [record], _ = decoder.decode(as_text({**QUOTE, "t": text}), NOW)
        assert record.ts_event == expected


FIELDS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text("aZ/0 é_", max_size=10),
    st.sampled_from([TEXT_TIME, "BTC/USD", "t", "q", [{"p": 1, "s": 2}]]),
)
MESSAGES = st.dictionaries(
    st.sampled_from([*"TSpsitoblahcvnr", "tks", "bp", "bs", "ap", "as", "vw", "code", "msg"]),
    FIELDS,
)


def assert_survives(frame: bytes | str) -> None:
    records, _ = FrameDecoder().decode(frame, NOW)
    batch = Batch("live", "us", 1, 0, 0, 0, records)
    assert len(decode_batch(encode_batch(batch)).records) == len(records)


@given(st.binary() | st.text(alphabet=st.characters()))
def test_decoder_never_raises_when_fed_garbage(frame):
    assert_survives(frame)


@given(st.lists(MESSAGES, max_size=5), st.sampled_from("tqobud"))
def test_every_message_is_accounted_for_when_fields_are_arbitrary(messages, tag):
    messages = [{**m, "T": m.get("T", tag)} for m in messages]
    frame = json.dumps(messages, allow_nan=False) if _finite(messages) else None
    if frame is not None:
        records, controls = FrameDecoder().decode(frame, NOW)
        assert len(records) + len(controls) == len(messages)
        assert_survives(frame)


def _finite(messages: list[dict]) -> bool:
    return all(math.isfinite(v) for m in messages for v in m.values() if isinstance(v, float))


@given(st.data())
def test_neighbours_survive_when_bytes_of_a_binary_frame_are_flipped(data):
    frame = bytearray(as_binary(TRADE, QUOTE, BOOK, {**BAR}))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    assert_survives(bytes(frame))
